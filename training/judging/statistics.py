"""Confidence intervals and paired comparisons, all by SciPy, all with the same seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import stats

CONFIDENCE = 0.95
RESAMPLES = 1000
SEED = 0

Sample = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure with the bounds of its 95 % bootstrap interval, which are NaN for too few values."""

    value: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        """Return figure and interval, each in the same format."""
        return f"{self.value:{spec}} ({self.low:{spec}} to {self.high:{spec}})"


@dataclass(frozen=True)
class PairedDifference:
    """The mean of paired differences, its standard error, and Wilcoxon's signed-rank p."""

    mean: Estimate
    error: float
    p_value: float
    pairs: int


def estimate(statistic: Callable[..., Any], *samples: Sample, paired: bool = False) -> Estimate:
    """Return a statistic of samples with its percentile bootstrap interval.

    The statistic takes the samples and the axis along which they lie. Several samples are resampled
    each by itself (patients and controls), or with `paired` together (two figures of the same
    scans). Source: Efron and Tibshirani 1993.
    """
    value = float(statistic(*samples, axis=-1))
    if min(len(sample) for sample in samples) < 2:
        return Estimate(value, float("nan"), float("nan"))
    resampled = stats.bootstrap(
        samples,
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        paired=paired,
        vectorized=True,
        rng=np.random.default_rng(SEED),
    )
    return Estimate(
        value, float(resampled.confidence_interval.low), float(resampled.confidence_interval.high)
    )


def estimate_mean(values: Sequence[float] | Sample) -> Estimate:
    """Return the mean of values with its interval."""
    return estimate(np.mean, np.asarray(values, dtype=np.float64))


def standard_error(values: Sample) -> float:
    """Return the standard error of the mean; NaN for fewer than two values."""
    return float(stats.sem(values)) if len(values) > 1 else float("nan")


def compare_pairs(first: Sample, second: Sample) -> PairedDifference:
    """Return how much `second` is above `first`, pair by pair.

    Source of the test: Wilcoxon 1945. Where no pair differs, p is 1.
    """
    differences = second - first
    changed = np.any(differences != 0)
    p_value = float(stats.wilcoxon(differences).pvalue) if changed else 1.0
    return PairedDifference(
        estimate_mean(differences), standard_error(differences), p_value, len(differences)
    )


def rank_correlation(first: Sample, second: Sample) -> Estimate:
    """Return Spearman's correlation of two figures of the same scans; NaN where one of them is constant."""
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return Estimate(*[float("nan")] * 3)
    return estimate(_spearman, first, second, paired=True)


def _spearman(first: Sample, second: Sample, axis: int) -> Sample:
    ranks = (stats.rankdata(sample, axis=axis) for sample in (first, second))
    return np.asarray(stats.pearsonr(*ranks, axis=axis).statistic)
