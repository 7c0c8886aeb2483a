"""What is chosen on out-of-fold maps: flips, threshold, classifier, and when a mask is made blank."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.weights.ensemble_file import EnsembleFile
from training.judging.blanking import BlankPoint, blank_curve, choose_point
from training.judging.classification import ClassifierScore, cross_fitted, fit_classifier, score_probabilities
from training.judging.out_of_fold import THRESHOLDS, VIEW_SETS, HeldOutMap
from training.judging.statistics import Sample


@dataclass(frozen=True)
class ViewScore:
    """The mean out-of-fold Dice of a set of views at its best threshold, and at one half."""

    views: str
    threshold: float
    mean_dice: float
    mean_dice_at_half: float


@dataclass(frozen=True)
class Calibration:
    """What the maps speak for, best views first.

    `maps` are those of the best views; `probabilities`, classifier scores and curve are by
    classifiers that never saw the fold that they judge, and None with too few folds for that.
    """

    views: list[ViewScore]
    maps: list[HeldOutMap]
    probabilities: Sample | None
    classifier_score: ClassifierScore | None
    curve: list[BlankPoint]

    @property
    def blank_below(self) -> float:
        """Return below which probability a mask is made blank; 0 where that cannot be judged."""
        return choose_point(self.curve).below if self.curve else 0.0


def calibrate(maps: Sequence[HeldOutMap]) -> Calibration:
    """Choose on the maps of held-out scans, under every set of views."""
    views = score_views(maps)
    best = [m for m in maps if m.views == views[0].views]
    patients = np.array([m.is_patient for m in best])
    probabilities, shipped = cross_fitted(best), fit_classifier(best)
    if probabilities is None or shipped is None:
        return Calibration(views, best, None, None, [])
    return Calibration(
        views=views,
        maps=best,
        probabilities=probabilities,
        classifier_score=score_probabilities(patients, probabilities),
        curve=blank_curve(
            best,
            probabilities,
            THRESHOLDS.index(views[0].threshold),
            shipped=np.array([shipped.probability_of(m.features) for m in best]),
        ),
    )


def score_views(maps: Sequence[HeldOutMap]) -> list[ViewScore]:
    """Return the mean Dice over the held-out patients for every set of views, the best first."""
    scores = []
    for views in VIEW_SETS:
        dice = np.mean([m.dice for m in maps if m.views == views and m.is_patient], axis=0)  # (thresholds,)
        best = int(np.argmax(dice))
        at_half = float(dice[THRESHOLDS.index(0.5)])
        scores.append(ViewScore(views, THRESHOLDS[best], float(dice[best]), at_half))
    return sorted(scores, key=lambda score: -score.mean_dice)


def choose(listed: EnsembleFile, made: Calibration) -> EnsembleFile:
    """Return the ensemble file with what was chosen."""
    best = made.views[0]
    return listed.model_copy(
        update={
            "tta_ops": VIEW_SETS[best.views],
            "threshold": best.threshold,
            "classifier": fit_classifier(made.maps),
            "blank_below": made.blank_below,
        }
    )
