"""Builds the wheel: what serves, below the one name `tumor_segmentation`, and the command of that name.

In the repository `utils.py`, `api.py` and `service/` lie at the top. Installed like that they would stand in
the way of a user's own modules, so the wheel has all below a package, and its imports say so; so do commands
that texts name.
"""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NAME = "tumor_segmentation"
CODE = ("inference/**/*.py", "service/**/*.py", "api.py", "utils.py")
DATA = (
    "service/page/static/*",
    "service/page/templates/*",
    "samples/*.png",
    "models/*.json",
    "models/*.safetensors",
)
AT_TOP = ("inference/__init__.py", "inference/__main__.py")
"""What the package is, beside what lies in it: `from tumor_segmentation import predict`."""

IMPORT = re.compile(r"^(\s*from )(?=(?:api|inference|service|utils)\b)", re.MULTILINE)
COMMANDS = {
    "start with `uv run --group torch api.py`": "install it with `uv tool install --with torch --with "
    "segmentation-models-pytorch WHEEL`",
    "uv sync --reinstall-package openvino": "pip install --force-reinstall openvino",
    "uv run api.py": "tumor-segmentation serve",
    "uv run python -m inference": "tumor-segmentation",
    "python -m inference": "tumor-segmentation",
}


class Wheel(BuildHookInterface[Any]):  # type: ignore[misc]  # the build alone has hatchling
    """Writes the code anew for the wheel, and names the data."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Name what goes into the wheel, and where."""
        root = Path(self.root)
        self.written = TemporaryDirectory()
        included: dict[str, str] = build_data["force_include"]
        for path in sorted(path for pattern in DATA for path in root.glob(pattern)):
            included[str(path)] = f"{NAME}/{path.relative_to(root)}"
        for path in sorted(path for pattern in CODE for path in root.glob(pattern)):
            name = str(path.relative_to(root))
            new = Path(self.written.name, name)
            new.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(below_one_name(path.read_text()))
            included[str(new)] = f"{NAME}/{name}"
        for name in AT_TOP:
            new = Path(self.written.name, Path(name).name)
            new.write_text(below_one_name((root / name).read_text()))
            included[str(new)] = f"{NAME}/{new.name}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what was written."""
        self.written.cleanup()


def below_one_name(code: str) -> str:
    """Return Python as the wheel has it: its imports below the package, its commands as installed."""
    code = IMPORT.sub(rf"\1{NAME}.", code)
    for here, installed in COMMANDS.items():
        code = code.replace(here, installed)
    return code
