"""Out-of-fold scores: every fold on the scans that it never saw, through the serving pipeline."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import cv2
import numpy as np

from inference.ensemble import build_ensemble
from inference.preparation import Preparation
from inference.settings import Settings
from inference.weights.ensemble_file import EnsembleFile, read_ensemble_file, read_listed_folds
from inference.weights.fold_file import FoldFile
from training.judging.statistics import Estimate, estimate_mean, standard_error
from training.scans.dataset import Label, LabelledScan, find_cases, read_cases
from training.scans.folds import Split, trained_fold
from utils import dice_score

LESION_SIZES_PX = (10, 30, 100)
"""Where one class of lesions ends and the next begins."""


@dataclass(frozen=True)
class LesionScore:
    """One connected lesion of a label: whether any of it was marked, and the Dice with what marks it."""

    px: int
    found: bool
    dice: float


@dataclass(frozen=True)
class LesionSummary:
    """The lesions of at least `at_least_px` and of less than `below_px` (None: of any size)."""

    at_least_px: int
    below_px: int | None
    lesions: int
    found: float
    mean_dice: float


@dataclass(frozen=True)
class ScanScore:
    """What one fold made of one scan that it never saw; a control has no Dice, and no lesions."""

    scan: str
    fold: int
    dice: float | None
    label_px: int
    predicted_px: int
    false_positive_px: int
    tumor_probability: float
    lesions: tuple[LesionScore, ...] = ()


@dataclass(frozen=True)
class Summary:
    """The scores of one fold, or of all.

    `dice_error` is the standard error of the mean, `dice_interval` its 95 % bootstrap interval over
    patients.
    """

    patients: int
    mean_dice: float
    dice_error: float
    dice_interval: Estimate
    median_dice: float
    controls: int
    false_positive_px: float
    blank_controls: float


def evaluate(
    models_dir: Path,
    *,
    data_dir: Path,
    split: Split,
    settings: Settings,
    input_scale: float | None = None,
    every: int = 1,
) -> Iterator[ScanScore]:
    """Yield the score of every scan that is held out of a shipped fold, fold by fold.

    Each fold answers alone, with the flips, threshold and classifier of `ensemble.json` unless the
    settings override them, and at the scale that it was trained at unless `input_scale` is given.
    With `every`, only every so many scans are looked at.
    Raises `DataError` where a fold was trained on another split.
    """
    listed = read_ensemble_file(models_dir)
    by_fold = held_out_by_fold(models_dir, listed, data_dir=data_dir, split=split, every=every)
    for fold_file, fold, scans in by_fold:
        alone = build_ensemble(
            [fold_file if input_scale is None else at_scale(fold_file, input_scale)],
            settings,
            tta_ops=listed.tta_ops,
            threshold=listed.threshold,
            classifier=listed.classifier,
            blank_below=listed.blank_below,
        )
        for scan in scans:
            prediction = alone.predict(scan.grey)
            yield score_mask(scan, fold, prediction.mask[..., 0] > 0, prediction.tumor_probability)


def held_out_by_fold(
    models_dir: Path, listed: EnsembleFile, *, data_dir: Path, split: Split, every: int = 1
) -> Iterator[tuple[FoldFile, int, Iterator[LabelledScan]]]:
    """Yield each listed fold, its number, and the scans that it never saw, read as they are asked for.

    With `every`, only every so many scans are among them. Raises `DataError` where a fold was trained on
    another split.
    """
    cases = find_cases(data_dir)[::every]
    for fold_file in read_listed_folds(models_dir, listed):
        fold = trained_fold(fold_file.metadata, split)
        held_out = split.held_out(cases, fold)
        yield fold_file, fold, (read_cases([case])[0] for case in held_out)


def at_scale(fold: FoldFile, input_scale: float) -> FoldFile:
    """Return a fold whose scans are resized by another factor than it was trained with."""
    preparation = Preparation(input_scale=input_scale, normalisation=fold.metadata.preparation.normalisation)
    return replace(fold, metadata=fold.metadata.model_copy(update={"preparation": preparation}))


def summarize(scores: Iterable[ScanScore]) -> Summary:
    """Return means over the patients and over the controls of some scores."""
    listed = list(scores)
    dice = np.array([score.dice for score in listed if score.dice is not None])
    strays = np.array([score.false_positive_px for score in listed if score.dice is None])
    return Summary(
        patients=len(dice),
        mean_dice=float(dice.mean()),
        dice_error=standard_error(dice),
        dice_interval=estimate_mean(dice),
        median_dice=float(np.median(dice)),
        controls=len(strays),
        false_positive_px=float(strays.mean()) if len(strays) else float("nan"),
        blank_controls=float((strays == 0).mean()) if len(strays) else float("nan"),
    )


def write_scores(scores: Iterable[ScanScore], path: Path) -> None:
    """Write one line a scan as CSV, without its lesions."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        columns = [field.name for field in fields(ScanScore) if field.name != "lesions"]
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(asdict(score) for score in scores)


def score_mask(scan: LabelledScan, fold: int, predicted: Label, tumor_probability: float) -> ScanScore:
    """Return the score of a fold's mask (H, W) bool of a scan."""
    return ScanScore(
        scan=scan.case.name,
        fold=fold,
        dice=dice_score(scan.label, predicted) if scan.case.is_patient else None,
        label_px=int(scan.label.sum()),
        predicted_px=int(predicted.sum()),
        false_positive_px=int((predicted & ~scan.label).sum()),
        tumor_probability=tumor_probability,
        lesions=score_lesions(scan.label, predicted),
    )


def score_lesions(label: Label, predicted: Label) -> tuple[LesionScore, ...]:
    """Score each connected lesion of a label (H, W) bool against a mask (H, W) bool.

    What marks a lesion are the mask's regions that touch it, less what they mark of other lesions.
    """
    count, lesions = cv2.connectedComponents(label.astype(np.uint8))
    _, regions = cv2.connectedComponents(predicted.astype(np.uint8))
    scored = []
    for number in range(1, count):
        lesion = lesions == number
        touching = np.unique(regions[lesion & predicted])
        marked = np.isin(regions, touching[touching > 0]) & (lesion | ~label)
        scored.append(LesionScore(int(lesion.sum()), bool(len(touching)), dice_score(lesion, marked)))
    return tuple(scored)


def summarize_lesions(scores: Iterable[ScanScore]) -> list[LesionSummary]:
    """Return, for each class of sizes, how many lesions there are and how they were marked."""
    lesions = [lesion for score in scores for lesion in score.lesions]
    summaries = []
    for low, high in zip((1, *LESION_SIZES_PX), (*LESION_SIZES_PX, None), strict=True):
        of_size = [lesion for lesion in lesions if low <= lesion.px and (high is None or lesion.px < high)]
        found = float(np.mean([lesion.found for lesion in of_size])) if of_size else float("nan")
        dice = float(np.mean([lesion.dice for lesion in of_size])) if of_size else float("nan")
        summaries.append(LesionSummary(low, high, len(of_size), found, dice))
    return summaries
