"""`python -m training`: from scans and labels to the folds that the service starts with."""

import sys
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from dotenv import load_dotenv

from inference.settings import read_settings
from inference.volumes.grey_scale import PIXEL_MM, SUV_MAX
from training.card import commands as card
from training.config import FitConfig
from training.fitting.fit_folds import fit_folds, parse_folds
from training.fitting.plan import Plan
from training.fitting.recipes import RECIPES
from training.judging import commands as judging
from training.options import Data, Models, SplitFile, console, parse_changes, run
from training.phantoms.drawing import write_phantoms, write_samples
from training.publishing.export import export_runs
from training.publishing.quantization import quantize_folds
from training.publishing.wandb_publishing import publish
from training.scans.dataset import DEFAULT_DATA_DIR, DataError, find_cases, read_case, read_cases
from training.scans.folds import SPLIT_FILE, read_split, split_scans, write_split
from training.scans.greys import BODY_LENGTH_MM, LIVER_SUV_MEAN, measure_greys

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
app.add_typer(judging.app)
app.add_typer(card.app)


@app.command()
def phantoms(
    folder: Path,
    patients: Annotated[int, typer.Option(help="How many phantoms with lesions.")] = 12,
    controls: Annotated[int, typer.Option(help="How many without.")] = 6,
    seed: int = 0,
) -> None:
    """Write a data set of synthetic scans with exact labels into FOLDER."""
    write_phantoms(folder, patients=patients, controls=controls, seed=seed)
    console.print(f"{patients} patients and {controls} controls in {folder}")


@app.command()
def samples(folder: Path = Path("samples")) -> None:
    """Redraw the phantoms that ship with the project."""
    write_samples(folder)


@app.command()
def greys(data: Data = DEFAULT_DATA_DIR) -> None:
    """Measure on the controls how large a pixel is, and which SUV is black."""
    controls = [case for case in find_cases(data) if not case.is_patient]
    measured = measure_greys(read_case(case).grey for case in controls)
    if not len(measured.body_px) or not len(measured.liver_grey):
        raise DataError(f"{data} has no control that shows a whole body and a liver")
    console.print(
        f"{len(measured.body_px)} whole bodies of {len(controls)} controls, "
        f"{measured.body_px.mean():.0f} px long (sd {measured.body_px.std():.0f}): "
        f"{BODY_LENGTH_MM:.0f} mm give {measured.pixel_mm:.2f} mm a pixel; {PIXEL_MM:g} is used"
    )
    console.print(
        f"{len(measured.liver_grey)} livers, median grey {255 * (1 - measured.liver_uptake):.0f}, noise "
        f"{np.median(measured.liver_noise):.1f}: projected {measured.projected_over_mean:.2f} of their mean; "
        f"an SUV of {LIVER_SUV_MEAN} gives {measured.suv_max:.1f} for black; {SUV_MAX:g} is used"
    )


@app.command()
def split(
    data: Data = DEFAULT_DATA_DIR,
    out: Annotated[Path, typer.Option(help="The split file to write.")] = Path("folds.json"),
    folds: Annotated[int, typer.Option(min=2)] = 4,
    seed: int = 0,
) -> None:
    """Deal the scans of a data set into folds, stratified by tumour size and scan height."""
    made = split_scans(read_cases(find_cases(data)), folds=folds, seed=seed)
    write_split(made, out)
    console.print(f"{len(made.fold_of)} scans in {folds} folds: {out}")


@app.command()
def fit(
    fold: Annotated[int | None, typer.Option(help="The fold to hold out.", show_default=False)] = None,
    folds: Annotated[
        str | None,
        typer.Option(metavar="K,L,...", help="Several folds instead, one after another or with --ray."),
    ] = None,
    ray: Annotated[
        bool,
        typer.Option(
            "--ray", help="Train --folds side by side on the Ray cluster of RAY_ADDRESS, or of this machine."
        ),
    ] = False,
    data: Data = DEFAULT_DATA_DIR,
    split_file: SplitFile = SPLIT_FILE,
    run_dir: Annotated[
        Path | None,
        typer.Option(help="Where the run is kept, by default runs/foldK; of --folds, where foldK is."),
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with a run that was cut off.")] = False,
    option: Annotated[
        list[str] | None,
        typer.Option("--set", "-s", metavar="NAME=VALUE", help="Change a value of the recipe; repeatable."),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help=f"What to start from: {', '.join(RECIPES)} (training/fitting/recipes.py).")
    ] = "default",
    epochs: Annotated[int | None, typer.Option(help="How many epochs.")] = None,
    encoder_weights: Annotated[
        str | None,
        typer.Option(
            help="What the encoder starts from: 'lite2' (the default, which a package ships), 'imagenet' "
            "(b3's own, downloaded) or 'none'."
        ),
    ] = None,
    log_scans: Annotated[
        bool,
        typer.Option(
            "--log-scans", help="Show held-out scans with their masks beside the phantoms, in W&B too."
        ),
    ] = False,
) -> None:
    """Train folds; a run is a folder with its configuration, metrics, curves, checkpoints and weights."""
    if (fold is None) == (folds is None):
        raise DataError("give either --fold or --folds")
    if ray and folds is None:
        raise DataError("--ray trains several folds side by side: name them with --folds")
    if recipe not in RECIPES:
        raise DataError(f"--recipe {recipe} is none of {', '.join(RECIPES)}")
    changes = RECIPES[recipe] | dict(parse_changes(option or []))
    changes |= {
        name: v for name, v in (("epochs", epochs), ("encoder_weights", encoder_weights)) if v is not None
    }
    if recipe == "further" and not changes.get("start_from"):
        raise DataError(
            "--recipe further goes on from trained folds: name them with --set start_from=runs, or "
            "start_from=models"
        )
    held_out = read_split(split_file)
    if fold is not None:
        from training.fitting.fit import fit as fit_fold  # imports Lightning, which no other command needs

        config = FitConfig.model_validate({"fold": fold} | changes)
        folder = run_dir or Path("runs") / f"fold{fold}"
        weights = fit_fold(
            config, data_dir=data, split=held_out, run_dir=folder, resume=resume, log_scans=log_scans
        )
        console.print(f"trained weights: {weights}")
        return
    plans = [
        Plan(
            FitConfig.model_validate({"fold": each} | changes),
            data.resolve(),
            held_out,
            ((run_dir or Path("runs")) / f"fold{each}").resolve(),
            log_scans,
        )
        for each in parse_folds(folds or "")
    ]
    raise typer.Exit(fit_folds(plans, resume=resume, on_ray=ray))


@app.command()
def export(
    runs: Annotated[list[Path], typer.Argument(help="Folders of finished runs, one a fold.")],
    models: Models = Path("models"),
) -> None:
    """Make the folder that the service starts from out of finished RUNS."""
    listed = export_runs(runs, models)
    console.print(
        f"{len(listed.folds)} folds in {models}; next: python -m training quantize, and then calibrate"
    )


@app.command("publish")
def publish_command(
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="RUN...", help="Folders of finished runs, or of exported folds (models)."),
    ],
    project: Annotated[str, typer.Option(metavar="ENTITY/PROJECT", help="Where in W&B.")],
    name: Annotated[
        list[str] | None, typer.Option(help="The artifacts' names, one a fold; by default foldK.")
    ] = None,
    alias: Annotated[
        list[str] | None, typer.Option(help="An alias beside 'latest', as 'production'; repeatable.")
    ] = None,
) -> None:
    """Publish folds as W&B artifacts, and print their names for MODEL_ARTIFACTS."""
    from training.publishing.artifact_contents import (
        find_publications,  # imports Matplotlib, as the curves need it
    )

    publications = find_publications(sources, name or ())
    console.print(f"publishing {', '.join(p.name for p in publications)} to {project}")
    names = publish(publications, project=project, aliases=alias or (), settings=read_settings())
    console.print(f"MODEL_ARTIFACTS={','.join(names)}", markup=False, highlight=False)


@app.command()
def quantize(
    data: Data = DEFAULT_DATA_DIR, split_file: SplitFile = SPLIT_FILE, models: Models = Path("models")
) -> None:
    """Observe, on training scans, the activation ranges that the folds need to run in INT8."""
    for ranges in quantize_folds(models, data_dir=data, split=read_split(split_file)):
        console.print(
            f"{len(ranges.low)} activation ranges from {ranges.scans} scans for {ranges.weights_sha256[:12]}"
        )


def main() -> int:
    """Run a command; what the user can mend ends in one sentence, not in a traceback."""
    load_dotenv()
    return run(app)


if __name__ == "__main__":
    sys.exit(main())
