"""The wheel, in a bare environment outside of any checkout: what it holds, shadows, writes and answers."""

import base64
import json
import os
import shutil
import subprocess
import time
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.version import __version__
from tests.conftest import ROOT, START_DEADLINE_S, environment
from tests.ports import free_port
from utils import decode_image, decode_request, validate_segmentation

SAMPLE = ROOT / "samples" / "phantom_1.png"
LARGEST_BYTES = 90_000_000
NAME = "tumor_segmentation"


@dataclass(frozen=True)
class Installed:
    """A wheel, the environment that it is installed in, and a user with a home and modules of their own."""

    wheel: Path
    venv: Path
    home: Path

    def command(self, *arguments: object, program: str = "tumor-segmentation") -> list[str]:
        return [str(self.venv / "bin" / program), *map(str, arguments)]

    def environment(self, **settings: object) -> dict[str, str]:
        user = environment(HOME=self.home, SHELL="/bin/bash", PYTHONDONTWRITEBYTECODE=1, **settings)
        return {name: value for name, value in user.items() if not name.startswith(("XDG_", "VIRTUAL_ENV"))}

    def run(self, *arguments: object, program: str = "tumor-segmentation") -> str:
        """Run a program of the environment in the user's home, and return what it prints."""
        ended = subprocess.run(
            self.command(*arguments, program=program),
            cwd=self.home,
            env=self.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def files(self) -> set[str]:
        """Return what lies where the packages are."""
        (packages,) = self.venv.glob("lib/*/site-packages")
        return {str(path.relative_to(packages)) for path in packages.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    if (uv := shutil.which("uv")) is None:
        pytest.skip("uv is not on the path")
    folder = tmp_path_factory.mktemp("wheel")
    home = folder / "home"
    home.mkdir()
    shutil.copyfile(SAMPLE, home / "scan.png")
    plain = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    subprocess.run([uv, "build", "--quiet", "--wheel", "--out-dir", folder, ROOT], check=True, env=plain)
    (wheel,) = folder.glob("*.whl")
    subprocess.run([uv, "venv", "--quiet", folder / "venv"], check=True, env=plain)
    subprocess.run(
        [uv, "pip", "install", "--quiet", "--python", folder / "venv", wheel],
        cwd=folder,
        check=True,
        env=plain,
    )
    return Installed(wheel, folder / "venv", home)


def test_it_holds_what_serves_below_one_name(installed: Installed) -> None:
    assert installed.wheel.stat().st_size < LARGEST_BYTES
    names = zipfile.ZipFile(installed.wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {NAME}
    inside = {Path(name).relative_to(NAME) for name in names if name.startswith(f"{NAME}/")}
    for pattern in ("inference/**/*.py", "service/**/*", "models/fold*", "models/ensemble.json", "samples/*"):
        found = (path for path in ROOT.glob(pattern) if path.is_file() and "__pycache__" not in path.parts)
        here = {path.relative_to(ROOT) for path in found}
        assert here, pattern
        assert here <= inside, here - inside
    assert not any({"training", "tests", "benchmarks", "cache"} & set(path.parts) for path in inside)


def test_without_pytorch_it_segments_and_writes_nothing_where_it_is_installed(installed: Installed) -> None:
    before = installed.files()
    assert not {"torch", "segmentation_models_pytorch"} & {name.partition("/")[0] for name in before}
    installed.run("segment", "scan.png", "--out", "out")
    mask = np.array(Image.open(installed.home / "out" / "scan_mask.png").convert("RGB"))
    validate_segmentation(decode_image(SAMPLE.read_bytes()), mask)
    assert (mask == 255).any()
    assert installed.files() == before
    assert not (installed.home / "intel").exists()  # where OpenVINO notes what it tells its makers


def test_it_serves(installed: Installed) -> None:
    port = free_port()
    service = subprocess.Popen(
        installed.command("serve", "--port", port), cwd=installed.home, env=installed.environment()
    )
    try:
        ask_until_ready(service, f"http://127.0.0.1:{port}/health/ready")
        body = json.dumps({"img": base64.b64encode(SAMPLE.read_bytes()).decode()}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/predict", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=START_DEADLINE_S) as answer:
            mask = decode_request(json.loads(answer.read())["img"])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ui", timeout=START_DEADLINE_S) as page:
            assert b"<html" in page.read()
    finally:
        service.terminate()
        assert service.wait(timeout=START_DEADLINE_S) == 0
    validate_segmentation(decode_image(SAMPLE.read_bytes()), mask)
    (log,) = installed.home.rglob("api.log")
    assert "tumor-segmentation" in log.parts
    assert "POST /predict 200" in log.read_text()


def test_modules_of_a_user_are_the_users(installed: Installed) -> None:
    """Not even by the names that the code has in the repository."""
    for name in ("api", "inference", "service", "utils"):
        (installed.home / f"{name}.py").write_text("mine = True\n")
    script = (
        "import api, inference, service, utils\n"
        "from tumor_segmentation import predict\n"
        "assert api.mine and inference.mine and service.mine and utils.mine\n"
        "print(predict('scan.png').tumor_detected)\n"
    )
    (installed.home / "own.py").write_text(script)
    assert installed.run("own.py", program="python") == "True\n"


def test_the_command_tells_its_version_and_its_commands_by_its_own_name(installed: Installed) -> None:
    assert installed.run("--version") == f"{__version__}\n"
    told = installed.run("--help")
    assert "python -m inference" not in told
    for command in ("segment", "serve", "info", "weights", "benchmark", "export", "pacs"):
        assert f" {command} " in told


def test_a_shell_completes_it(installed: Installed) -> None:
    installed.run("--install-completion", "bash")
    (script,) = installed.home.rglob("tumor-segmentation.sh")
    asked = (
        f"source {script}; PATH={installed.venv / 'bin'}:$PATH; COMP_WORDS=(tumor-segmentation se); "
        "COMP_CWORD=1; _tumor_segmentation_completion tumor-segmentation; echo ${COMPREPLY[@]}"
    )
    ended = subprocess.run(
        ["bash", "-c", asked], env=installed.environment(), capture_output=True, text=True, check=True
    )
    assert set(ended.stdout.split()) == {"segment", "serve"}


def ask_until_ready(service: "subprocess.Popen[bytes]", url: str) -> None:
    due = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < due:
        assert service.poll() is None
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError("the service was not ready in time")
