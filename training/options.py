"""What the commands of `python -m training` have in common: their options and the console."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console(soft_wrap=True)  # a command that is shown can be copied whole

Data = Annotated[
    Path,
    typer.Option("--data", envvar="TUMOR_DATA_DIR", help="The folder that holds patients/ and controls/."),
]
SplitFile = Annotated[Path, typer.Option("--split", help="The split into folds.")]
Models = Annotated[Path, typer.Option("--models", help="The folder of fold weights and ensemble.json.")]
