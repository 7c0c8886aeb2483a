"""Patient or control: fitted on out-of-fold maps, and scored on folds that the fit left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from inference.findings import FEATURES, Classifier
from training.judging.out_of_fold import HeldOutMap
from training.judging.statistics import Estimate, Sample, estimate

MAX_FALSE_ALARMS = 0.05
"""The share of controls that a specificity of 95 % lets pass for patients."""

CALIBRATION_BINS = 10


@dataclass(frozen=True)
class ClassifierScore:
    """How well patients are told from controls; every interval is over patients and controls apart.

    `calibration_error` is the expected one (ECE) over ten bins of equal width.
    """

    roc_auc: Estimate
    sensitivity: Estimate  # at 95 % specificity
    brier: Estimate
    calibration_error: Estimate


def fit_classifier(maps: Sequence[HeldOutMap]) -> Classifier | None:
    """Fit patient against control on the features of out-of-fold maps; None without both of them."""
    patients = np.array([m.is_patient for m in maps])
    if len(set(patients)) < 2:
        return None
    pipeline = make_pipeline(StandardScaler(), LogisticRegression(C=1.0))
    pipeline.fit(np.array([m.features for m in maps]), patients)
    scaler, regression = pipeline[0], pipeline[1]
    weights = regression.coef_[0] / scaler.scale_
    intercept = regression.intercept_[0] - float(weights @ scaler.mean_)
    named = {name: float(weight) for name, weight in zip(FEATURES, weights, strict=True)}
    return Classifier(weights=named, intercept=float(intercept))


def cross_fitted(maps: Sequence[HeldOutMap]) -> Sample | None:
    """Return the probability of each map by a classifier that never saw the map's fold.

    None where a fold's classifier could not be fitted: too few folds, or kinds of scans.
    """
    probabilities = np.zeros(len(maps))
    for fold in {m.fold for m in maps}:
        classifier = fit_classifier([m for m in maps if m.fold != fold])
        if classifier is None:
            return None
        for index, held_out in enumerate(maps):
            if held_out.fold == fold:
                probabilities[index] = classifier.probability_of(held_out.features)
    return probabilities


def score_probabilities(patients: npt.NDArray[np.bool_], probabilities: Sample) -> ClassifierScore:
    """Score probabilities (n,) against whether each scan is a patient's."""
    samples = probabilities[patients], probabilities[~patients]
    scores = (_roc_auc, _sensitivity, _brier, _calibration_error)
    return ClassifierScore(*(estimate(score, *samples) for score in scores))


def _roc_auc(patients: Sample, controls: Sample, axis: int) -> Sample:
    """Return the share of pairs in which the patient has the higher probability, ties as halves.

    Source: Hanley and McNeil 1982.
    """
    wins = stats.mannwhitneyu(patients, controls, axis=axis, method="asymptotic").statistic
    return np.asarray(wins / (patients.shape[axis] * controls.shape[axis]))


def _sensitivity(patients: Sample, controls: Sample, axis: int) -> Sample:
    let_pass = int(MAX_FALSE_ALARMS * controls.shape[axis] + 1e-9)
    highest = np.sort(controls, axis=axis).take([-1 - let_pass], axis=axis)
    return np.asarray((patients > highest).mean(axis=axis))


def _brier(patients: Sample, controls: Sample, axis: int) -> Sample:
    scans = patients.shape[axis] + controls.shape[axis]
    return np.asarray((((1 - patients) ** 2).sum(axis=axis) + (controls**2).sum(axis=axis)) / scans)


def _calibration_error(patients: Sample, controls: Sample, axis: int) -> Sample:
    """Return the mean gap between probability and share of patients, bins weighted by their scans.

    Source: Naeini, Cooper and Hauskrecht 2015.
    """
    gaps = []
    for number in range(CALIBRATION_BINS):
        missing = np.where(_bins(patients) == number, 1 - patients, 0).sum(axis=axis)
        surplus = np.where(_bins(controls) == number, controls, 0).sum(axis=axis)
        gaps.append(np.abs(missing - surplus))
    return np.asarray(np.sum(gaps, axis=0) / (patients.shape[axis] + controls.shape[axis]))


def _bins(probabilities: Sample) -> npt.NDArray[np.intp]:
    return np.minimum((probabilities * CALIBRATION_BINS).astype(np.intp), CALIBRATION_BINS - 1)
