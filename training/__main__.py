"""`python -m training`: from scans and labels to the folds that the service starts with."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from dotenv import load_dotenv
from pydantic import ValidationError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from inference.ensemble_file import read_ensemble_file, write_ensemble_file
from inference.errors import SegmentationError
from inference.settings import Settings, read_settings
from training.calibration import choose, held_out_maps, score_classifier, score_views
from training.comparison import Comparison, compare
from training.config import FitConfig
from training.data import DEFAULT_DATA_DIR, find_cases, read_cases
from training.evaluation import ScanScore, evaluate, summarize, write_scores
from training.folds import SPLIT_FILE, read_split, split_scans, write_split
from training.phantoms import write_phantoms, write_samples
from training.publishing import export_runs, stamp_choices, with_scores
from training.quantization import quantize_folds
from training.wandb_publishing import publish

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(soft_wrap=True)  # a command that is shown can be copied whole

Data = Annotated[
    Path,
    typer.Option("--data", envvar="TUMOR_DATA_DIR", help="The folder that holds patients/ and controls/."),
]
SplitFile = Annotated[Path, typer.Option("--split", help="The split into folds.")]
Models = Annotated[Path, typer.Option("--models", help="The folder of fold weights and ensemble.json.")]


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
    fold: Annotated[int, typer.Option(help="The fold to hold out.")],
    data: Data = DEFAULT_DATA_DIR,
    split_file: SplitFile = SPLIT_FILE,
    run_dir: Annotated[
        Path | None, typer.Option(help="Where the run is kept; by default runs/foldK.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on with a run that was cut off.")] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--set", "-s", metavar="NAME=VALUE", help="Change a value of the configuration; repeatable."
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="How many epochs.")] = None,
    encoder_weights: Annotated[
        str | None, typer.Option(help="'imagenet', downloaded; by default none.")
    ] = None,
    log_scans: Annotated[
        bool,
        typer.Option(
            "--log-scans", help="Show held-out scans with their masks beside the phantoms, in W&B too."
        ),
    ] = False,
) -> None:
    """Train one fold; a run is a folder with its configuration, metrics, curves, checkpoints and weights."""
    from training.fit import fit as fit_fold  # imports Lightning, which no other command needs

    changes: dict[str, object] = dict(_changes(option or []))
    changes |= {
        name: v for name, v in (("epochs", epochs), ("encoder_weights", encoder_weights)) if v is not None
    }
    config = FitConfig.model_validate({"fold": fold} | changes)
    folder = run_dir or Path("runs") / f"fold{fold}"
    held_out = read_split(split_file)
    weights = fit_fold(
        config, data_dir=data, split=held_out, run_dir=folder, resume=resume, log_scans=log_scans
    )
    console.print(f"trained weights: {weights}")


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
    from training.publications import find_publications  # imports Matplotlib, as the curves need it

    publications = find_publications(sources, name or ())
    console.print(f"publishing {', '.join(p.name for p in publications)} to {project}")
    names = publish(publications, project=project, aliases=alias or (), settings=read_settings())
    console.print(f"MODEL_ARTIFACTS={','.join(names)}", markup=False, highlight=False)


@app.command()
def quantize(
    data: Data = DEFAULT_DATA_DIR, split_file: SplitFile = SPLIT_FILE, models: Models = Path("models")
) -> None:
    """Observe, on training scans, the activation ranges that the folds need to run in INT8."""
    making = quantize_folds(
        models, data_dir=data, split=read_split(split_file), cache_dir=read_settings().model_cache_dir
    )
    for ranges in making:
        console.print(
            f"{len(ranges.low)} activation ranges from {ranges.scans} scans for {ranges.weights_sha256[:12]}"
        )


@app.command()
def calibrate(
    data: Data = DEFAULT_DATA_DIR, split_file: SplitFile = SPLIT_FILE, models: Models = Path("models")
) -> None:
    """Choose flips, threshold and classifier on out-of-fold maps, and write them into ensemble.json."""
    held_out = read_split(split_file)
    maps = list(held_out_maps(models, data_dir=data, split=held_out, settings=_plain_settings()))
    table = Table("views", "Dice at 0.5", "best Dice", "at threshold")
    for score in score_views(maps):
        table.add_row(
            score.views, f"{score.mean_dice_at_half:.4f}", f"{score.mean_dice:.4f}", f"{score.threshold}"
        )
    console.print(table)
    chosen = choose(read_ensemble_file(models), maps)
    told_apart = score_classifier([m for m in maps if m.views == score_views(maps)[0].views])
    if told_apart is None:
        console.print("patients against controls: too few folds or kinds of scans to score the classifier")
    else:
        console.print(
            f"patients against controls, fitted on the other folds: "
            f"ROC AUC {told_apart.roc_auc:.3f}, Brier score {told_apart.brier:.3f}"
        )
    write_ensemble_file(stamp_choices(chosen, models), models)
    scores = evaluate(models, data_dir=data, split=held_out, settings=_plain_settings())
    write_ensemble_file(with_scores(read_ensemble_file(models), scores), models)


@app.command("evaluate")
def evaluate_command(
    data: Data = DEFAULT_DATA_DIR,
    split_file: SplitFile = SPLIT_FILE,
    models: Models = Path("models"),
    out: Annotated[Path, typer.Option(help="The CSV of scores, one line a scan.")] = Path(
        "results/evaluation.csv"
    ),
) -> None:
    """Score every fold on the scans that it never saw, through the serving pipeline, at native resolution."""
    held_out = read_split(split_file)
    scoring = evaluate(models, data_dir=data, split=held_out, settings=read_settings())
    cases = find_cases(data)
    listed = read_ensemble_file(models)
    total = sum(len(held_out.held_out(cases, e.fold)) for e in listed.folds if e.fold is not None)
    scores = list(_tracked(scoring, total))
    write_scores(scores, out)
    table = Table("fold", "patients", "mean Dice", "median", "controls", "FP px", "blank")
    for fold in sorted({score.fold for score in scores}):
        table.add_row(str(fold), *_row([score for score in scores if score.fold == fold]))
    table.add_section()
    table.add_row("all", *_row(scores))
    console.print(table)
    console.print(f"every scan's score: {out}")


@app.command("compare")
def compare_command(
    data: Data = DEFAULT_DATA_DIR,
    split_file: SplitFile = SPLIT_FILE,
    models: Models = Path("models"),
    scale: Annotated[
        list[float] | None, typer.Option(help="Try the folds at another input scale too; repeatable.")
    ] = None,
) -> None:
    """Score the same weights out of fold in every engine and precision, paired with float32 PyTorch."""
    held_out = read_split(split_file)
    table = Table("engine", "mean Dice", "less the first's", "FP px", "blank")
    comparing = compare(models, data_dir=data, split=held_out, settings=read_settings(), scales=scale or ())
    for outcome in comparing:
        if isinstance(outcome, Comparison):
            summary = outcome.summary
            table.add_row(
                outcome.variant.name.replace("auto auto", "shipped default"),
                f"{summary.mean_dice:.4f}",
                f"{outcome.difference:+.4f} ± {outcome.difference_error:.4f}",
                f"{summary.false_positive_px:.1f}",
                f"{summary.blank_controls:.0%}",
            )
        else:
            variant, reason = outcome
            table.add_row(variant.name, "not run", reason)
    console.print(table)


def main() -> int:
    """Run a command; what the user can mend ends in one sentence, not in a traceback."""
    load_dotenv()
    try:
        app()
    except (SegmentationError, OSError) as error:
        console.print(f"error: {error}", markup=False, highlight=False)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        console.print(f"error: {where}: {fault['msg']}", markup=False, highlight=False)
    return 1


def _changes(options: list[str]) -> Iterator[tuple[str, str | list[str]]]:
    for option in options:
        name, equals, value = option.partition("=")
        if not equals:
            raise typer.BadParameter(f"--set {option} is not NAME=VALUE")
        yield name.replace("-", "_"), value.split(",") if "," in value else value


def _plain_settings() -> Settings:
    """Return the environment's settings without what would override the ensemble's own choices."""
    return read_settings().model_copy(update={"tta": True, "tta_ops": None, "pred_threshold": None})


def _row(scores: list[ScanScore]) -> list[str]:
    summary = summarize(scores)
    return [
        str(summary.patients),
        f"{summary.mean_dice:.4f} ± {summary.dice_error:.4f}",
        f"{summary.median_dice:.4f}",
        str(summary.controls),
        f"{summary.false_positive_px:.1f}",
        f"{summary.blank_controls:.0%}",
    ]


def _tracked(scores: Iterator[ScanScore], total: int) -> Iterator[ScanScore]:
    yield from track(scores, total=total, description="out of fold", console=console)


if __name__ == "__main__":
    sys.exit(main())
