"""What is chosen on out-of-fold maps: the flips, the threshold, and the patient or control classifier."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inference.ensemble import build_ensemble
from inference.ensemble_file import EnsembleFile, read_ensemble_file, read_listed_folds
from inference.findings import Classifier, map_features
from inference.settings import Settings
from training.data import find_cases, read_cases
from training.evaluation import trained_fold
from training.folds import Split
from utils import dice_score

VIEW_SETS: dict[str, tuple[str, ...]] = {
    "no flip": ("identity",),
    "horizontal": ("identity", "hflip"),
    "all four": ("identity", "hflip", "vflip", "hvflip"),
}
THRESHOLDS = tuple(round(0.3 + 0.05 * step, 2) for step in range(9))


@dataclass(frozen=True)
class HeldOutMap:
    """What one set of views makes of one held-out scan."""

    views: str
    fold: int
    is_patient: bool
    dice: tuple[float, ...]  # at each of THRESHOLDS; empty for a control
    features: npt.NDArray[np.float64]  # (3,)


@dataclass(frozen=True)
class ViewScore:
    """The mean out-of-fold Dice of a set of views at its best threshold, and at one half."""

    views: str
    threshold: float
    mean_dice: float
    mean_dice_at_half: float


@dataclass(frozen=True)
class ClassifierScore:
    """How well a classifier fitted on the other folds tells a fold's patients from its controls."""

    roc_auc: float
    brier: float


def held_out_maps(
    models_dir: Path, *, data_dir: Path, split: Split, settings: Settings
) -> Iterator[HeldOutMap]:
    """Yield, for every scan held out of a shipped fold, that fold's map under each set of views."""
    listed = read_ensemble_file(models_dir)
    cases = find_cases(data_dir)
    for fold_file in read_listed_folds(models_dir, listed):
        fold = trained_fold(fold_file.metadata, split)
        alone = build_ensemble([fold_file], settings, tta_ops=("identity",), threshold=listed.threshold)
        for case in split.held_out(cases, fold):
            scan = read_cases([case])[0]
            maps = {op: alone.probability_map(scan.grey, (op,)) for op in VIEW_SETS["all four"]}
            for views, ops in VIEW_SETS.items():
                average = np.asarray(np.mean([maps[op] for op in ops], axis=0, dtype=np.float32))  # (H, W)
                dice = (
                    tuple(dice_score(scan.label, average >= t) for t in THRESHOLDS) if case.is_patient else ()
                )
                yield HeldOutMap(views, fold, case.is_patient, dice, map_features(average))


def score_views(maps: Sequence[HeldOutMap]) -> list[ViewScore]:
    """Return the mean Dice over the held-out patients for every set of views, the best first."""
    scores = []
    for views in VIEW_SETS:
        dice = np.mean([m.dice for m in maps if m.views == views and m.is_patient], axis=0)  # (thresholds,)
        best = int(np.argmax(dice))
        at_half = float(dice[THRESHOLDS.index(0.5)])
        scores.append(ViewScore(views, THRESHOLDS[best], float(dice[best]), at_half))
    return sorted(scores, key=lambda score: -score.mean_dice)


def fit_classifier(maps: Sequence[HeldOutMap]) -> Classifier | None:
    """Fit patient against control on the features of out-of-fold maps; None without both of them."""
    if len({m.is_patient for m in maps}) < 2:
        return None
    features, patients = _table(maps)
    scaler, regression = _fitted(features, patients)
    weights = regression.coef_[0] / scaler.scale_
    intercept = regression.intercept_[0] - float(weights @ scaler.mean_)
    return Classifier(weights=tuple(float(weight) for weight in weights), intercept=float(intercept))


def score_classifier(maps: Sequence[HeldOutMap]) -> ClassifierScore | None:
    """Score classifiers that never saw the fold that they are scored on; None with too few folds for that."""
    truths, probabilities = [], []
    for fold in sorted({m.fold for m in maps}):
        classifier = fit_classifier([m for m in maps if m.fold != fold])
        if classifier is None:
            return None
        features, patients = _table([m for m in maps if m.fold == fold])
        truths.append(patients)
        probabilities.append([classifier.probability_of(row) for row in features])
    truth, probability = np.concatenate(truths), np.concatenate(probabilities)
    return ClassifierScore(
        float(roc_auc_score(truth, probability)), float(brier_score_loss(truth, probability))
    )


def choose(listed: EnsembleFile, maps: Sequence[HeldOutMap]) -> EnsembleFile:
    """Return the ensemble file with the views, threshold and classifier that the maps speak for."""
    best = score_views(maps)[0]
    chosen = [m for m in maps if m.views == best.views]
    return listed.model_copy(
        update={
            "tta_ops": VIEW_SETS[best.views],
            "threshold": best.threshold,
            "classifier": fit_classifier(chosen),
        }
    )


def _table(maps: Sequence[HeldOutMap]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    return np.array([m.features for m in maps]), np.array([m.is_patient for m in maps])


def _fitted(
    features: npt.NDArray[np.float64], patients: npt.NDArray[np.bool_]
) -> tuple[StandardScaler, LogisticRegression]:
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1.0))
    pipeline.fit(features, patients)
    return pipeline[0], pipeline[1]
