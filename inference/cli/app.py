"""`python -m inference`: segment scans without a server, serve them, and look after the folds."""

from typing import Annotated

import typer

from inference.cli.benchmark import benchmark
from inference.cli.console import tell
from inference.cli.export import export
from inference.cli.info import info
from inference.cli.pacs import pacs
from inference.cli.segment import segment
from inference.cli.serve import serve
from inference.cli.weights import weights
from inference.errors import SegmentationError
from inference.settings import INSTALLED, misspelt_settings
from inference.version import __version__

app = typer.Typer(
    help="""Outline tumours on MIP-PET scans with the ensemble that the service runs.

**A first mask:** `python -m inference segment scan.png` leaves a mask, an overlay and a line of
findings in `results/segment/`.

Settings come from the environment or from `.env`, as the service's do: `python -m inference info` shows them.
Each command explains itself: `python -m inference segment --help`.
""",
    no_args_is_help=True,
    add_completion=INSTALLED,  # of a command of its own, which `python -m` is not
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)
for command in (segment, serve, info, weights, benchmark, export):
    app.command()(command)
app.add_typer(pacs, name="pacs")


def show_version(wanted: bool) -> None:
    """Show the version and end, where that is wanted."""
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=show_version, is_eager=True)
    ] = False,
) -> None:
    """Take what stands before a command, and tell of settings that are misspelt."""
    if context.invoked_subcommand != "serve":  # the service tells of them itself
        for sentence in misspelt_settings():
            tell(f"warning: {sentence}")


def main(arguments: list[str] | None = None) -> int:
    """Run a command; what the user can mend ends in one sentence, not in a traceback."""
    try:
        app(arguments)
    except (SegmentationError, OSError) as error:
        tell(f"error: {error}")
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    return 1
