"""The whole evaluation as one HTML page that needs nothing beside it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inference.findings import Lesion, Mask, decide, find_lesions
from inference.report.overlay import draw_overlay
from inference.weights.ensemble_file import EnsembleFile
from training.judging import figures
from training.judging.blanking import choose_point
from training.judging.calibration import Calibration, calibrate
from training.judging.evaluation import ScanScore, score_mask, summarize
from training.judging.out_of_fold import THRESHOLDS, VIEW_SETS, HeldOutMap, HeldOutScan, measure
from training.judging.statistics import Estimate, PairedDifference, compare_pairs, rank_correlation
from training.scans.dataset import Label, LabelledScan

TEMPLATE = "report.html.j2"
WORST, BEST, WORST_CONTROLS = 20, 6, 6


@dataclass(frozen=True)
class JudgedScan:
    """A held-out scan as `ensemble.json` has it judged, and what other views make of it."""

    scan: LabelledScan
    marked: Label  # (H, W) bool: many are held at a time
    lesions: tuple[Lesion, ...]
    score: ScanScore
    maps: list[HeldOutMap]
    view_disagreement: float


@dataclass(frozen=True)
class ViewGain:
    """The Dice of a set of views at one threshold, and what it gains on the scan as it is."""

    views: str
    ops: tuple[str, ...]
    mean_dice: float
    gain: PairedDifference


@dataclass(frozen=True)
class Picture:
    """A picture in the page, and what stands under it."""

    url: str
    caption: str


def judge(held_out: HeldOutScan, listed: EnsembleFile) -> JudgedScan:
    """Judge a held-out scan with the views, threshold, classifier and blanking of `ensemble.json`."""
    probability_map = held_out.mean_map(listed.tta_ops)  # (H, W)
    mask, probability = decide(
        probability_map,
        threshold=listed.threshold,
        classifier=listed.classifier,
        blank_below=listed.blank_below,
    )
    lesions = tuple(find_lesions(mask, probability_map))
    marked = mask[..., 0] > 0
    score = score_mask(held_out.scan, held_out.fold, marked, probability)
    disagreement = held_out.view_disagreement(listed.threshold)
    return JudgedScan(held_out.scan, marked, lesions, score, measure(held_out), disagreement)


def write_report(judged: Sequence[JudgedScan], listed: EnsembleFile, folder: Path) -> Path:
    """Write `index.html` with its pictures inside into `folder`, and return where it is."""
    scores = [scan.score for scan in judged]
    patients = [scan for scan in judged if scan.score.dice is not None]
    made = calibrate([m for scan in judged for m in scan.maps])
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    page = environment.get_template(TEMPLATE).render(
        listed=listed,
        summaries=_summaries(scores),
        gains=list(view_gains(patients, listed.threshold)),
        plots=_dice_plots(patients),
        views=made.views,
        classifier=made.classifier_score,
        classifier_plots=_classifier_plots(made),
        point=choose_point(made.curve) if made.curve else None,
        correlation=predicts_dice(patients),
        worst=_pictures(sorted(patients, key=_dice)[:WORST]),
        best=_pictures(sorted(patients, key=_dice)[::-1][:BEST]),
        controls=_pictures(_most_marked(judged)),
    )
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "index.html"
    path.write_text(page, encoding="utf-8")
    return path


def view_gains(patients: Sequence[JudgedScan], threshold: float) -> Iterator[ViewGain]:
    """Yield what every set of views gains on the scan as it is, patient by patient, nothing made blank."""
    nearest = int(np.argmin(np.abs(np.array(THRESHOLDS) - threshold)))
    dice = {
        views: np.array([m.dice[nearest] for scan in patients for m in scan.maps if m.views == views])
        for views in VIEW_SETS
    }
    alone = dice["no flip"]
    for views, ops in VIEW_SETS.items():
        yield ViewGain(views, ops, float(dice[views].mean()), compare_pairs(alone, dice[views]))


def predicts_dice(patients: Sequence[JudgedScan]) -> Estimate:
    """Return the rank correlation of Dice with how far a fold's two views of an unseen scan disagree."""
    disagreement = np.array([scan.view_disagreement for scan in patients])
    return rank_correlation(disagreement, np.array([_dice(scan) for scan in patients]))


def _summaries(scores: Sequence[ScanScore]) -> list[tuple[str, object]]:
    folds = sorted({score.fold for score in scores})
    by_fold = [(str(fold), summarize(s for s in scores if s.fold == fold)) for fold in folds]
    return [*by_fold, ("all", summarize(scores))]


def _dice_plots(patients: Sequence[JudgedScan]) -> list[Picture]:
    dice = np.array([_dice(scan) for scan in patients])
    size = np.array([scan.score.label_px for scan in patients], dtype=np.float64)
    height = np.array([scan.scan.grey.shape[0] for scan in patients], dtype=np.float64)
    disagreement = np.array([scan.view_disagreement for scan in patients])
    return [
        Picture(figures.as_data_url(figure), caption)
        for figure, caption in (
            (figures.plot_distribution(dice), "How the Dice of the patients is distributed"),
            (figures.plot_against(size, dice, "tumour pixels", logarithmic=True), "Dice against lesion size"),
            (figures.plot_against(height, dice, "scan height, px"), "Dice against scan height"),
            (
                figures.plot_against(disagreement, dice, "disagreement of two views"),
                "Dice against disagreement",
            ),
        )
    ]


def _classifier_plots(made: Calibration) -> list[Picture]:
    if made.probabilities is None:
        return []
    patients = np.array([m.is_patient for m in made.maps])
    blanking = figures.plot_blanking(made.curve, choose_point(made.curve))
    return [
        Picture(figures.as_data_url(figure), caption)
        for figure, caption in (
            (figures.plot_reliability(patients, made.probabilities), "Reliability"),
            (figures.plot_roc(patients, made.probabilities), "ROC"),
            (blanking, "Blank controls against the Dice that they cost"),
        )
    ]


def _most_marked(judged: Sequence[JudgedScan]) -> list[JudgedScan]:
    controls = [scan for scan in judged if scan.score.dice is None and scan.score.predicted_px]
    return sorted(controls, key=lambda scan: -scan.score.predicted_px)[:WORST_CONTROLS]


def _pictures(scans: Iterable[JudgedScan]) -> list[Picture]:
    return [Picture(_draw(scan), _caption(scan.score)) for scan in scans]


def _draw(judged: JudgedScan) -> str:
    outlined = draw_overlay(judged.scan.grey, _as_mask(judged.scan.label))
    numbered = draw_overlay(judged.scan.grey, _as_mask(judged.marked), judged.lesions)
    return figures.picture_url(np.hstack([outlined, numbered]))


def _as_mask(marked: Label) -> Mask:
    return np.repeat(marked[..., None] * np.uint8(255), 3, axis=2)  # (H, W, 3)


def _caption(score: ScanScore) -> str:
    dice = "" if score.dice is None else f"Dice {score.dice:.3f}, "
    return (
        f"{score.scan}, fold {score.fold}: {dice}{score.label_px} px of tumour, {score.predicted_px} marked, "
        f"tumour probability {score.tumor_probability:.2f}"
    )


def _dice(scan: JudgedScan) -> float:
    assert scan.score.dice is not None
    return scan.score.dice
