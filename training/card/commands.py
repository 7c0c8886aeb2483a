"""The commands that train on one card: they import nothing that a bare machine with PyTorch would lack."""

from pathlib import Path
from typing import Annotated

import typer

from training.options import Data, SplitFile, console, parse_changes
from training.scans.dataset import DEFAULT_DATA_DIR, DataError
from training.scans.folds import SPLIT_FILE, read_split

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

MIB = 1024 * 1024


@app.command()
def pack(
    out: Annotated[Path, typer.Argument(help="The file to write.")] = Path("scans.npz"),
    data: Data = DEFAULT_DATA_DIR,
) -> None:
    """Write a whole data set as one small file, for `fit-card --data` on another machine."""
    from training.card.packing import read_scans, write_packed

    scans = read_scans(data)
    size = write_packed(scans, out)
    console.print(f"{len(scans)} scans in {out}, {size / MIB:.1f} MiB")


@app.command("fit-card")
def fit_card_command(
    minutes: Annotated[float, typer.Option(help="How long, for all folds together.")] = 8.0,
    folds: Annotated[str, typer.Option(metavar="K,L,...", help="The folds to hold out in turn.")] = "0,2,3",
    data: Annotated[
        Path,
        typer.Option("--data", envvar="TUMOR_DATA_DIR", help="The data folder, or a file that `pack` wrote."),
    ] = DEFAULT_DATA_DIR,
    split_file: SplitFile = SPLIT_FILE,
    run_dir: Annotated[Path, typer.Option(help="Where the run is kept.")] = Path("runs/card"),
    resume: Annotated[bool, typer.Option(help="Go on with a run that was cut off.")] = False,
    device: Annotated[
        str | None, typer.Option(help="'cuda', or 'cpu' to try it out; by default the card.")
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            "-s",
            metavar="NAME=VALUE",
            help="Change a value of training/card/config.py; repeatable.",
        ),
    ] = None,
) -> None:
    """Train all folds in one process on one CUDA card, within so many minutes."""
    import torch

    from training.card.config import CardConfig
    from training.card.fit_card import fit_card
    from training.card.packing import read_scans

    if device is None and not torch.cuda.is_available():
        raise DataError("there is no CUDA card here: train with `fit`, or try this out with --device cpu")
    changes = {"minutes": minutes, "folds": folds.split(",")} | dict(parse_changes(option or []))
    written = fit_card(
        CardConfig.model_validate(changes),
        scans=read_scans(data),
        split=read_split(split_file),
        run_dir=run_dir,
        device=torch.device(device or "cuda"),
        resume=resume,
    )
    console.print("trained weights: " + ", ".join(str(path) for path in written))
