"""`python -m inference export`."""

from pathlib import Path
from typing import Annotated

import typer

from inference.cli.console import tell
from inference.settings import read_settings
from inference.weights.export import export_folds


def export(
    folder: Annotated[Path, typer.Argument(help="Where the folds and ensemble.json go.")],
) -> None:
    """Make a folder of the folds in force, W&B artifacts too, that any machine serves by MODELS_DIR."""
    listed = export_folds(read_settings(), folder)
    tell(f"{len(listed.folds)} folds in {folder}: serve them with MODELS_DIR={folder}")
