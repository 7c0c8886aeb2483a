"""What the commands of `python -m training` have in common: their options, the console, and how they end."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from inference.errors import SegmentationError

console = Console(soft_wrap=True)  # a command that is shown can be copied whole

Data = Annotated[
    Path,
    typer.Option("--data", envvar="TUMOR_DATA_DIR", help="The folder that holds patients/ and controls/."),
]
SplitFile = Annotated[Path, typer.Option("--split", help="The split into folds.")]
Models = Annotated[Path, typer.Option("--models", help="The folder of fold weights and ensemble.json.")]


def parse_changes(options: Sequence[str]) -> Iterator[tuple[str, str | list[str] | None]]:
    """Yield names and values of `--set NAME=VALUE`: a list where there is a comma, None for `none`."""
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {option} is not NAME=VALUE")
        single = None if value.lower() == "none" else value
        yield name.replace("-", "_"), value.split(",") if "," in value else single


def run(app: typer.Typer) -> int:
    """Run a command; what the user can mend ends in one sentence, not in a traceback."""
    try:
        app()
    except (SegmentationError, OSError) as error:
        console.print(f"error: {error}", markup=False, highlight=False)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        console.print(f"error: {where}: {fault['msg']}", markup=False, highlight=False)
    return 1
