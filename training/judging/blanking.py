"""When a whole mask is made blank: what it costs patients, and what it spares controls."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.judging.out_of_fold import HeldOutMap
from training.judging.statistics import Sample

MAX_DICE_LOST = 0.005
DIGITS = 4
MARGIN = 1.15
"""A patient this little above counts as blank too: so far may engines and precisions differ."""


@dataclass(frozen=True)
class BlankPoint:
    """What making masks blank below a probability does to the held-out scans.

    Of patients, the worse of what it does by the classifiers of the other folds and by the one that
    is shipped: a patient whom either takes for healthy is one who could be.
    """

    below: float
    dice_lost: float
    blank_patients: int
    blank_controls: float
    false_positive_px: float


def blank_curve(
    maps: Sequence[HeldOutMap], probabilities: Sample, threshold: int, *, shipped: Sample
) -> list[BlankPoint]:
    """Return the point of no blanking, and one for every control whose mask could be made blank.

    `probabilities` (n,) are those of the maps, by classifiers that never saw their folds; `shipped`
    (n,) by the one that is fitted on all; `threshold` is an index into `THRESHOLDS`.
    """
    patients = np.array([m.is_patient for m in maps])
    dice = np.array([m.dice[threshold] if m.is_patient else 0.0 for m in maps])
    marked = np.array([m.predicted_px[threshold] for m in maps])
    above = (np.floor(probabilities[~patients & (marked > 0)] * 10**DIGITS) + 1) / 10**DIGITS
    candidates = [0.0, *np.unique(above[above < 1])]
    return [_point(float(below), patients, dice, marked, (probabilities, shipped)) for below in candidates]


def choose_point(curve: Sequence[BlankPoint], max_dice_lost: float = MAX_DICE_LOST) -> BlankPoint:
    """Return the last point of a curve at which patients lose no more than allowed."""
    return [point for point in curve if point.dice_lost <= max_dice_lost][-1]


def _point(
    below: float, patients: np.ndarray, dice: Sample, marked: np.ndarray, probabilities: tuple[Sample, Sample]
) -> BlankPoint:
    of_controls = np.where(probabilities[0] < below, 0, marked)[~patients]
    blanked = [patients & (each < MARGIN * below) for each in probabilities]
    return BlankPoint(
        below=below,
        dice_lost=float(max(dice[of_patients].sum() for of_patients in blanked) / patients.sum()),
        blank_patients=int(max(of_patients.sum() for of_patients in blanked)),
        blank_controls=float((of_controls == 0).mean()),
        false_positive_px=float(of_controls.mean()),
    )
