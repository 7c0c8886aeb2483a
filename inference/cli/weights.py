"""`python -m inference weights`."""

from typing import Annotated

import typer
from rich.console import Console

from inference.cli.console import tell
from inference.cli.fold_listing import folds_table, list_folds
from inference.settings import read_settings


def weights(
    verify: Annotated[
        bool, typer.Option("--verify", help="Load each fold too, to see whether it is this network's.")
    ] = False,
) -> None:
    """Show which folds the service would start with: from where, hashes, preparation, Dice."""
    rows = list_folds(read_settings(), verify=verify)
    Console().print(folds_table(rows))
    faults = [row.fault for row in rows if row.fault]
    for fault in faults:
        tell(f"error: {fault}")
    if faults:
        raise typer.Exit(1)
    tensors = "their tensors this network's" if verify else "their tensors not looked at (--verify)"
    tell(f"{len(rows)} folds: their files are as listed, {tensors}")
