"""The commands of `python -m training` that judge folds, from calibrate to report."""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.progress import track

from inference.settings import Settings, read_settings
from inference.weights.ensemble_file import read_ensemble_file, read_uncalibrated_file, write_ensemble_file
from training.judging import tables
from training.judging.alternatives import gather, score_alternatives
from training.judging.calibration import calibrate as calibrate_maps
from training.judging.calibration import choose
from training.judging.choices import stamp_choices, with_scores
from training.judging.competition import LIMIT_S, TIME_OUT, latency, play, recorded
from training.judging.evaluation import evaluate, write_scores
from training.judging.out_of_fold import count_held_out, held_out_scans, measure
from training.judging.paired_comparison import pair, read_scores
from training.judging.statistics import estimate_mean
from training.judging.variant_comparison import compare
from training.options import Data, Models, SplitFile, console
from training.scans.dataset import DEFAULT_DATA_DIR, find_cases
from training.scans.folds import SPLIT_FILE, read_split

app = typer.Typer()

Scored = TypeVar("Scored")


@app.command()
def calibrate(
    data: Data = DEFAULT_DATA_DIR, split_file: SplitFile = SPLIT_FILE, models: Models = Path("models")
) -> None:
    """Choose flips, threshold, classifier and blanking on out-of-fold maps, into ensemble.json."""
    held_out, settings = read_split(split_file), plain_settings()
    listed = read_uncalibrated_file(models)
    scans = held_out_scans(models, listed, data_dir=data, split=held_out, settings=settings)
    total = count_held_out(listed, data_dir=data, split=held_out)
    made = calibrate_maps([m for scan in _tracked(scans, total) for m in measure(scan)])
    console.print(tables.views(made.views))
    if made.classifier_score is None:
        console.print("patients against controls: too few folds or kinds of scans to score the classifier")
    else:
        console.print(tables.classifier(made.classifier_score))
        console.print(tables.blanking(made.curve))
        console.print(f"chosen: a mask is blank where tumor_probability is below {made.blank_below:g}")
    write_ensemble_file(stamp_choices(choose(listed, made), models), models)
    scores = evaluate(models, data_dir=data, split=held_out, settings=settings)
    write_ensemble_file(with_scores(read_ensemble_file(models), _tracked(scores, total)), models)


@app.command("evaluate")
def evaluate_command(
    data: Data = DEFAULT_DATA_DIR,
    split_file: SplitFile = SPLIT_FILE,
    models: Models = Path("models"),
    out: Annotated[
        Path | None,
        typer.Option(
            help="The CSV of scores; by default results/evaluation.csv, with --url results/played.csv."
        ),
    ] = None,
    url: Annotated[
        str | None,
        typer.Option(help="Score a running service at this address instead, as the competition does."),
    ] = None,
    every: Annotated[
        int, typer.Option(min=1, help="For a quick look, score only every so many scans, not with --url.")
    ] = 1,
) -> None:
    """Score every fold on the scans that it never saw, through the serving pipeline, at native resolution."""
    if url is not None:
        _play(url, data, out or Path("results/played.csv"))
        return
    out = out or Path("results/evaluation.csv")
    held_out = read_split(split_file)
    scoring = evaluate(models, data_dir=data, split=held_out, settings=read_settings(), every=every)
    total = count_held_out(read_ensemble_file(models), data_dir=data, split=held_out, every=every)
    scores = list(_tracked(scoring, total))
    write_scores(scores, out)
    console.print(tables.scores(scores))
    console.print(tables.lesions(scores))
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
    comparing = compare(models, data_dir=data, split=held_out, settings=read_settings(), scales=scale or ())
    console.print(tables.comparisons(comparing))


@app.command()
def paired(
    first: Annotated[Path, typer.Argument(help="The CSV of one evaluation.")],
    second: Annotated[Path, typer.Argument(help="The CSV of another, over the same scans.")],
) -> None:
    """Say how much the SECOND evaluation is above the FIRST, scan by scan."""
    compared = pair(read_scores(first), read_scores(second))
    console.print(tables.paired(compared))
    if compared.left_out:
        console.print(f"{compared.left_out} scans are in one of the two alone, and left out")


@app.command()
def alternatives(
    data: Data = DEFAULT_DATA_DIR,
    split_file: SplitFile = SPLIT_FILE,
    models: Models = Path("models"),
    scale: Annotated[
        list[float] | None,
        typer.Option(help="Try the last view at so many times the folds' own scale; repeatable."),
    ] = None,
) -> None:
    """Hold other ways to cut the maps, and other views, against what ships; change nothing."""
    held_out, listed = read_split(split_file), read_ensemble_file(models)
    scoring = score_alternatives(
        models, listed, data_dir=data, split=held_out, settings=plain_settings(), scales=scale or ()
    )
    total = count_held_out(listed, data_dir=data, split=held_out)
    console.print(tables.alternatives(gather(_tracked(scoring, total))))


@app.command()
def report(
    data: Data = DEFAULT_DATA_DIR,
    split_file: SplitFile = SPLIT_FILE,
    models: Models = Path("models"),
    out: Annotated[
        Path, typer.Option(help="The folder of the page; it shows scans, so keep it to yourself.")
    ] = Path("results/report"),
) -> None:
    """Write the whole out-of-fold evaluation as one HTML page with pictures."""
    from training.judging.report import (  # imports what draws, which no other command needs
        judge,
        write_report,
    )

    held_out, listed = read_split(split_file), read_ensemble_file(models)
    scans = held_out_scans(models, listed, data_dir=data, split=held_out, settings=plain_settings())
    total = count_held_out(listed, data_dir=data, split=held_out)
    page = write_report([judge(scan, listed) for scan in _tracked(scans, total)], listed, out)
    console.print(f"open it in a browser: {page}")


def plain_settings() -> Settings:
    """Return the environment's settings without what would override the ensemble's own choices."""
    overridden = {"tta": True, "tta_ops": None, "pred_threshold": None, "blank_below": None}
    return read_settings().model_copy(update=overridden)


def _play(url: str, data: Path, out: Path) -> None:
    patients = [case for case in find_cases(data) if case.is_patient]
    console.print(
        "Where the service's folds were trained on these scans, as the shipped ones were on those of the "
        "data set, this Dice is too good: it is not out of fold. How fast the service answers holds."
    )
    answers = list(recorded(_tracked(play(patients, url), len(patients), "playing"), out))
    times, timed_out = latency(answers), sum(answer.error == TIME_OUT for answer in answers)
    failed = sum(bool(answer.error) for answer in answers) - timed_out
    dice = estimate_mean([answer.dice for answer in answers])
    console.print(f"mean Dice {dice:.4f} over {len(answers)} patients")
    console.print(
        f"seconds an answer: median {times.p50:.2f}, 95 % {times.p95:.2f}, 99 % {times.p99:.2f}, "
        f"longest {times.longest:.2f}"
    )
    console.print(f"{timed_out} not answered within {LIMIT_S:g} s, {failed} with errors: each scores 0")
    if failed:
        (error, count), *_ = Counter(a.error for a in answers if a.error not in ("", TIME_OUT)).most_common(1)
        console.print(f"the commonest error, {count} times: {error}", markup=False, soft_wrap=True)
    console.print(f"every scan's score: {out}")
    if timed_out + failed == len(answers):
        raise typer.Exit(1)


def _tracked(scores: Iterable[Scored], total: int, description: str = "out of fold") -> Iterator[Scored]:
    yield from track(scores, total=total, description=description, console=console)
