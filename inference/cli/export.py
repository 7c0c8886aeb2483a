"""`python -m inference export`."""

from pathlib import Path
from typing import Annotated

import typer

from inference.cli.console import tell
from inference.settings import read_settings


def export(
    folder: Annotated[Path, typer.Argument(help="Where the converted folds and ensemble.json go.")],
) -> None:
    """Make a folder of the same folds that a machine without PyTorch serves, with MODELS_DIR set to it."""
    from inference.engines.converted_folder import export_converted  # imports OpenVINO

    listed = export_converted(read_settings(), folder)
    tell(f"{len(listed.folds)} folds for OpenVINO in {folder}: serve them with MODELS_DIR={folder}")
