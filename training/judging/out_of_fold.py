"""What each fold makes of the scans that it never saw, view by view, and what is kept of that."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inference.disagreement import mask_disagreement
from inference.ensemble import build_ensemble
from inference.findings import map_features
from inference.preparation import FloatMap
from inference.settings import Settings
from inference.tta import FLIPS
from inference.weights.ensemble_file import EnsembleFile
from training.judging.evaluation import held_out_by_fold
from training.scans.dataset import LabelledScan, find_cases
from training.scans.folds import Split
from utils import dice_score

VIEW_SETS: dict[str, tuple[str, ...]] = {
    "no flip": ("identity",),
    "horizontal": ("identity", "hflip"),
    "all four": ("identity", "hflip", "vflip", "hvflip"),
}
THRESHOLDS = tuple(round(0.1 + 0.05 * step, 2) for step in range(13))


@dataclass(frozen=True)
class HeldOutScan:
    """A scan, the fold that never saw it, and that fold's map (H, W) of each view."""

    scan: LabelledScan
    fold: int
    maps: dict[str, FloatMap]

    def mean_map(self, views: Sequence[str]) -> FloatMap:
        """Return the mean map over some views, (H, W) float32."""
        return np.asarray(np.mean([self.maps[view] for view in views], axis=0, dtype=np.float32))

    def view_disagreement(self, threshold: float) -> float:
        """Return one less the Dice between the masks of the scan as it is and of its mirror image."""
        spread = mask_disagreement([self.maps["identity"], self.maps["hflip"]], threshold)
        assert spread is not None
        return spread


@dataclass(frozen=True)
class HeldOutMap:
    """What one set of views makes of one held-out scan, at each of `THRESHOLDS`."""

    views: str
    fold: int
    is_patient: bool
    dice: tuple[float, ...]  # empty for a control
    predicted_px: tuple[int, ...]
    features: npt.NDArray[np.float64]  # those of `map_features`


def held_out_scans(
    models_dir: Path, listed: EnsembleFile, *, data_dir: Path, split: Split, settings: Settings
) -> Iterator[HeldOutScan]:
    """Yield every scan that is held out of a listed fold, seen by that fold alone in all four flips.

    Raises `DataError` where a fold was trained on another split.
    """
    for fold_file, fold, scans in held_out_by_fold(models_dir, listed, data_dir=data_dir, split=split):
        alone = build_ensemble([fold_file], settings, tta_ops=("identity",), threshold=listed.threshold)
        for scan in scans:
            yield HeldOutScan(scan, fold, {op: alone.probability_map(scan.grey, (op,)) for op in FLIPS})


def count_held_out(listed: EnsembleFile, *, data_dir: Path, split: Split, every: int = 1) -> int:
    """Return how many scans are held out of the listed folds; with `every`, of every so many."""
    cases = find_cases(data_dir)[::every]
    return sum(len(split.held_out(cases, e.fold)) for e in listed.folds if e.fold is not None)


def measure(held_out: HeldOutScan) -> list[HeldOutMap]:
    """Return what is to be known of a scan under each set of views."""
    label, is_patient = held_out.scan.label, held_out.scan.case.is_patient
    measured = []
    for name, views in VIEW_SETS.items():
        mean = held_out.mean_map(views)  # (H, W)
        masks = [mean >= threshold for threshold in THRESHOLDS]
        dice = tuple(dice_score(label, mask) for mask in masks) if is_patient else ()
        marked = tuple(int(mask.sum()) for mask in masks)
        measured.append(HeldOutMap(name, held_out.fold, is_patient, dice, marked, map_features(mean)))
    return measured
