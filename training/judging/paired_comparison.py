"""Two evaluations of the same scans, compared scan by scan."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from training.judging.statistics import PairedDifference, Sample, compare_pairs
from training.scans.dataset import DataError


@dataclass(frozen=True)
class ScoredScan:
    """One line of an evaluation's CSV; a control has no Dice."""

    dice: float | None
    false_positive_px: float


@dataclass(frozen=True)
class Side:
    """One evaluation, over the scans that both of them have."""

    mean_dice: float
    false_positive_px: float
    blank_controls: float


@dataclass(frozen=True)
class PairedScores:
    """Two evaluations and how much the second is above the first; None where there is no such scan.

    `false_positive_px` is over controls. `left_out` counts the scans that only one of them has.
    """

    first: Side
    second: Side
    dice: PairedDifference | None
    false_positive_px: PairedDifference | None
    left_out: int


def read_scores(path: Path) -> dict[str, ScoredScan]:
    """Read the CSV of an evaluation; raises `DataError` where it is no such file."""
    try:
        with path.open(newline="") as file:
            rows = [(row["scan"], _scored(row)) for row in csv.DictReader(file)]
    except (OSError, UnicodeDecodeError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise DataError(
            f"{path} cannot be read ({error}): name a CSV that `python -m training evaluate` wrote"
        ) from None
    scores = dict(rows)
    if len(scores) < len(rows):
        raise DataError(f"{path} has several lines for one scan: name the CSV of one evaluation")
    return scores


def pair(first: Mapping[str, ScoredScan], second: Mapping[str, ScoredScan]) -> PairedScores:
    """Compare the scans that two evaluations have in common; raises `DataError` where there is none."""
    names = sorted(first.keys() & second.keys())
    if not names:
        raise DataError("the two evaluations have no scan in common: name two over the same data")
    patients = [name for name in names if first[name].dice is not None]
    if patients != [name for name in names if second[name].dice is not None]:
        raise DataError("a scan is a patient in one evaluation and a control in the other")
    controls = [name for name in names if first[name].dice is None]
    sides = [(_dice(scores, patients), _strays(scores, controls)) for scores in (first, second)]
    (dice, strays), (other_dice, other_strays) = sides
    before, after = (Side(_mean(d), _mean(s), _mean(s == 0)) for d, s in sides)
    return PairedScores(
        before,
        after,
        dice=compare_pairs(dice, other_dice) if patients else None,
        false_positive_px=compare_pairs(strays, other_strays) if controls else None,
        left_out=len(first.keys() ^ second.keys()),
    )


def _scored(row: Mapping[str, str]) -> ScoredScan:
    return ScoredScan(float(row["dice"]) if row["dice"] else None, float(row["false_positive_px"]))


def _dice(scores: Mapping[str, ScoredScan], names: list[str]) -> Sample:
    return np.array([scores[name].dice for name in names], dtype=np.float64)


def _strays(scores: Mapping[str, ScoredScan], names: list[str]) -> Sample:
    return np.array([scores[name].false_positive_px for name in names], dtype=np.float64)


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
