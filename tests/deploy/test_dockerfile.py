"""The Dockerfile, as far as it can be judged without building it; `python -m deploy.rehearsal` builds it."""

import json
import re
import shutil
import subprocess
import sys
import tomllib

import pytest

from deploy.rehearsal.base_image import BASE
from tests.conftest import ROOT, Server, environment
from tests.deploy.dockerfile import DOCKERFILE, copied, stage
from tests.ports import free_port

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_the_linter_has_nothing_to_say() -> None:
    if (hadolint := shutil.which("hadolint")) is None:
        pytest.skip("hadolint is not installed: `uv sync --dev --group deploy`")
    said = subprocess.run(
        [hadolint, "deploy/Dockerfile"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert said.returncode == 0, said.stdout


def test_all_that_is_copied_is_there_and_is_let_through() -> None:
    let_through = (ROOT / ".dockerignore").read_text().splitlines()
    assert let_through[1] == "*"
    for name in copied():
        assert f"!{name}" in let_through, name
        assert any(ROOT.glob(name)), name


def test_stages_install_what_the_project_has() -> None:
    (name,) = {match[1] for match in BASE.finditer(DOCKERFILE)}
    floor = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert tuple(map(int, name.split(":")[1].split("-")[0].split("."))) >= tuple(map(int, floor.split(".")))
    groups = set(re.findall(r"--group (\S+)", DOCKERFILE))
    assert groups == {"torch", "ray"}
    assert groups <= PROJECT["dependency-groups"].keys()


def test_the_last_stage_is_without_pytorch() -> None:
    assert re.findall(r"^FROM \S+ AS (\S+)", DOCKERFILE, re.MULTILINE)[-1] == "service"
    assert "COPY --from=packages /app/.venv .venv" in stage("service")
    (options,) = re.findall(r"uv sync (.*)", stage("packages"))
    assert options.split() == ["--locked", "--compile-bytecode"]
    asked = ["uv", "export", "--locked", "--no-hashes", "--no-annotate", "--no-header"]
    if shutil.which("uv") is None:
        pytest.skip("uv is not on the path")
    packages = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = {line.partition("==")[0] for line in packages.splitlines()}
    assert "openvino" in names
    assert not {
        name for name in names if name.startswith(("torch", "nvidia", "triton", "segmentation-models"))
    }


def test_the_health_check_asks_the_service(server: Server) -> None:
    (command,) = re.findall(r"^HEALTHCHECK .*? CMD (\[.*\])$", stage("base"), re.MULTILINE)
    program, *arguments = json.loads(command)
    assert program == "python"
    for port, status in ((server.url.rpartition(":")[2], 0), (free_port(), 1)):
        asked = subprocess.run(
            [sys.executable, *arguments], env=environment(PORT=port), capture_output=True, check=False
        )
        assert asked.returncode == status, asked.stderr


def test_it_runs_as_nobody_special_and_is_ended_in_order() -> None:
    for target in ("service", "cuda", "ray"):
        assert [line for line in stage(target).splitlines() if line.startswith("USER")] == [
            "USER 10001:10001"
        ]
    assert 'ENTRYPOINT ["python", "api.py"]' in stage("base")
    assert "STOPSIGNAL SIGTERM" in stage("base")
