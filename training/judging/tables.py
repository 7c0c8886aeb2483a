"""The tables that judging prints."""

from collections.abc import Iterable, Mapping, Sequence

from rich.table import Table

from training.judging.blanking import BlankPoint, choose_point
from training.judging.calibration import ViewScore
from training.judging.classification import ClassifierScore
from training.judging.evaluation import ScanScore, summarize, summarize_lesions
from training.judging.paired_comparison import PairedScores, ScoredScan, pair
from training.judging.statistics import PairedDifference
from training.judging.variant_comparison import Comparison, Variant

DICE_BUDGETS = (0.0, 0.001, 0.0025, 0.005, 0.01, 0.02)
"""How much Dice the printed points of the curve may cost."""


def scores(scored: Sequence[ScanScore]) -> Table:
    """Return the scores of every fold and of all together."""
    table = Table("fold", "patients", "mean Dice", "95 % interval", "median", "controls", "FP px", "blank")
    for fold in sorted({score.fold for score in scored}):
        table.add_row(str(fold), *_summary([score for score in scored if score.fold == fold]))
    table.add_section()
    table.add_row("all", *_summary(scored))
    return table


def lesions(scored: Iterable[ScanScore]) -> Table:
    """Return what a lesion's size does: how many were found at all, and how well each was outlined."""
    table = Table("lesions of", "lesions", "found", "mean Dice of a lesion")
    for summary in summarize_lesions(scored):
        low, high = summary.at_least_px, summary.below_px
        size = f"{low} px and more" if high is None else f"{low} to {high - 1} px"
        if summary.lesions:
            figures = [f"{summary.found:.0%}", f"{summary.mean_dice:.3f}"]
            table.add_row(size, str(summary.lesions), *figures)
    return table


def views(scored: Iterable[ViewScore]) -> Table:
    """Return the Dice of every set of views."""
    table = Table("views", "Dice at 0.5", "best Dice", "at threshold")
    for score in scored:
        table.add_row(
            score.views, f"{score.mean_dice_at_half:.4f}", f"{score.mean_dice:.4f}", f"{score.threshold}"
        )
    return table


def comparisons(outcomes: Iterable[Comparison | tuple[Variant, str]]) -> Table:
    """Return what every engine and precision scores, or why it does not run."""
    table = Table("engine", "mean Dice", "less the first's", "FP px", "blank")
    for outcome in outcomes:
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
    return table


def classifier(score: ClassifierScore) -> Table:
    """Return how well patients are told from controls."""
    table = Table("patients against controls, fitted on the other folds", "", "95 % interval")
    for name, figure in (
        ("ROC AUC", score.roc_auc),
        ("sensitivity at 95 % specificity", score.sensitivity),
        ("Brier score", score.brier),
        ("expected calibration error", score.calibration_error),
    ):
        table.add_row(name, f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}")
    return table


def blanking(curve: Sequence[BlankPoint]) -> Table:
    """Return the point of no blanking, and the last that each of `DICE_BUDGETS` pays for."""
    table = Table("blank below", "Dice lost", "blank patients", "blank controls", "FP px")
    paid_for = [curve[0], *(choose_point(curve, budget) for budget in DICE_BUDGETS)]
    for point in {point.below: point for point in paid_for}.values():
        table.add_row(
            f"{point.below:g}",
            f"{point.dice_lost:.4f}",
            str(point.blank_patients),
            f"{point.blank_controls:.0%}",
            f"{point.false_positive_px:.1f}",
        )
    return table


def paired(compared: PairedScores) -> Table:
    """Return two evaluations side by side, and their paired differences."""
    table = Table("", "first", "second", "second less first", "95 % interval", "Wilcoxon p", "scans")
    sides = (compared.first, compared.second)
    if compared.dice is not None:
        dice = [f"{side.mean_dice:.4f}" for side in sides]
        table.add_row("Dice of patients", *dice, *_difference(compared.dice, 4))
    if compared.false_positive_px is not None:
        strays = [f"{side.false_positive_px:.1f}" for side in sides]
        table.add_row("FP px of controls", *strays, *_difference(compared.false_positive_px, 1))
        blank = [f"{side.blank_controls:.0%}" for side in sides]
        table.add_row("blank controls", *blank)
    return table


def alternatives(scored: Mapping[str, Mapping[str, ScoredScan]]) -> Table:
    """Return what every alternative scores, and its paired differences from the first."""
    table = Table("", "Dice", "less the first's", "Wilcoxon p", "FP px", "less the first's", "blank controls")
    first = next(iter(scored.values()))
    for name, scores_of in scored.items():
        compared = pair(first, scores_of)
        dice, strays = compared.dice, compared.false_positive_px
        table.add_row(
            name,
            f"{compared.second.mean_dice:.4f}",
            "" if dice is None else f"{dice.mean.value:+.4f} ± {dice.error:.4f}",
            "" if dice is None else f"{dice.p_value:.3g}",
            f"{compared.second.false_positive_px:.1f}",
            "" if strays is None else f"{strays.mean.value:+.1f} ± {strays.error:.1f}",
            f"{compared.second.blank_controls:.0%}",
        )
    return table


def _summary(scored: Sequence[ScanScore]) -> list[str]:
    summary = summarize(scored)
    interval = summary.dice_interval
    return [
        str(summary.patients),
        f"{summary.mean_dice:.4f} ± {summary.dice_error:.4f}",
        f"{interval.low:.3f} to {interval.high:.3f}",
        f"{summary.median_dice:.4f}",
        str(summary.controls),
        f"{summary.false_positive_px:.1f}",
        f"{summary.blank_controls:.0%}",
    ]


def _difference(difference: PairedDifference, digits: int) -> list[str]:
    mean = difference.mean
    return [
        f"{mean.value:+.{digits}f} ± {difference.error:.{digits}f}",
        f"{mean.low:+.{digits}f} to {mean.high:+.{digits}f}",
        f"{difference.p_value:.3g}",
        str(difference.pairs),
    ]
