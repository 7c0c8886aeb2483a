"""Who stays on one machine has nothing of Ray: not among the dependencies, not imported."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from inference.cli.ray.installation import require_ray
from inference.errors import SettingsError
from tests.conftest import ROOT


def test_neither_dependencies_nor_default_groups_have_ray() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    default = [str(need) for name in project["tool"]["uv"]["default-groups"] for need in groups[name]]
    assert not [need for need in project["project"]["dependencies"] + default if need.startswith("ray")]
    assert groups["ray"][0].startswith("ray[")


def test_no_command_imports_ray_before_it_is_asked_to() -> None:
    code = "import sys, inference.cli.app, training.__main__; print({'ray'} & sys.modules.keys())"
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "set()"


def test_without_ray_a_sentence_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference.cli.ray.installation.find_spec", lambda _: None)
    with pytest.raises(SettingsError, match="uv run --group ray python -m inference segment"):
        require_ray("inference segment")


def test_only_what_needs_it_names_ray() -> None:
    allowed = {
        "deploy/ray_ensemble.py",
        "deploy/ray_metrics.py",
        "deploy/ray_provider.py",
        "deploy/ray_serve.py",
    }
    allowed |= {"inference/cli/ray/segment.py", "training/fitting/fit_folds.py"}
    importing = {
        path.relative_to(ROOT).as_posix()
        for folder in ("inference", "service", "training", "deploy")
        for path in Path(ROOT, folder).rglob("*.py")
        if any(line.strip().startswith(("import ray", "from ray")) for line in path.read_text().splitlines())
    }
    assert importing == allowed
