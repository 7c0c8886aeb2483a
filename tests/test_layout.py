"""The rules of the house that no other test would notice."""

import ast
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

from inference import __version__
from inference.settings import Settings
from tests.conftest import ROOT


def imports(path: Path) -> set[str]:
    """Return the top-level names of all that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.partition(".")[0])
    return found


def test_inference_knows_nothing_of_the_service() -> None:
    for path in (ROOT / "inference").rglob("*.py"):
        assert not imports(path) & {"fastapi", "starlette", "uvicorn", "service", "training", "api"}, path


def test_serving_imports_no_training() -> None:
    loaded = "import sys, api; print([m for m in sys.modules if m.split('.')[0] in sys.argv[1:]])"
    unwanted = ["training", "torch", "wandb", "lightning", "albumentations", "sklearn", "matplotlib"]
    unwanted += ["nibabel", "pydicom", "highdicom"]  # until the first volume
    unwanted += ["requests", "dicomweb_client"]  # which only a PACS needs
    unwanted += ["ray", "pyarrow"]  # of a group of their own
    printed = subprocess.run(
        [sys.executable, "-c", loaded, *unwanted], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == "[]"


def test_nothing_is_installed_that_tells_others_what_is_converted() -> None:
    assert importlib.util.find_spec("openvino_telemetry") is None


def test_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["version"] == __version__
    assert f"[{__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_every_setting_is_documented_with_its_default() -> None:
    example = (ROOT / ".env.example").read_text()
    documented = dict(re.findall(r"^([A-Z_]+)=(.*)$", example, flags=re.MULTILINE))
    assert documented.keys() == {name.upper() for name in Settings.model_fields}
    readme = (ROOT / "README.md").read_text()
    defaults = Settings.model_construct()
    for name, text in documented.items():
        assert f"`{name}`" in readme, name
        value = getattr(defaults, name.lower())
        spelled = "" if value in (None, ()) else str(value).lower() if isinstance(value, bool) else str(value)
        assert text == spelled.removesuffix(".0"), name
