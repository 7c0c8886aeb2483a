"""What else could be done with the same folds: other ways to cut a map, and a view at another scale.

Each is held against what ships, scan by scan, on scans that the fold never saw, nothing made blank.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from inference.ensemble import build_ensemble
from inference.preparation import FloatMap
from inference.settings import Settings
from inference.weights.ensemble_file import EnsembleFile
from inference.weights.fold_file import FoldFile
from training.judging.evaluation import at_scale, held_out_by_fold
from training.judging.paired_comparison import ScoredScan
from training.scans.dataset import DataError, Label, LabelledScan
from training.scans.folds import Split
from utils import dice_score

SHIPPED = "as it ships"

MIN_AREAS_PX = (5, 10, 20, 40)
MIN_MASKS_PX = (60, 100)
PEAKS = (0.4, 0.5, 0.6, 0.7)
HIGHEST_SHARE = 0.5
FAINTEST = 0.02
"""No mask has pixels below this; there are many, and each says little."""

Cut = Callable[[FloatMap, float], Label]
"""Makes a mask (H, W) bool of a map (H, W) and the shipped threshold."""


def cut_at(probability_map: FloatMap, threshold: float) -> Label:
    """Return the pixels of at least the threshold, which is what ships."""
    return np.asarray(probability_map >= threshold)


def cut_large(probability_map: FloatMap, threshold: float, *, min_area_px: int) -> Label:
    """Return the regions of at least so many pixels."""
    regions, labels = _regions(probability_map, threshold)
    return np.asarray(np.isin(labels, np.flatnonzero(np.bincount(labels[regions]) >= min_area_px)))


def cut_unless_small(probability_map: FloatMap, threshold: float, *, min_mask_px: int) -> Label:
    """Return no pixel where all regions together have fewer than so many."""
    mask = cut_at(probability_map, threshold)
    return mask & (np.count_nonzero(mask) >= min_mask_px)


def cut_peaked(probability_map: FloatMap, threshold: float, *, peak: float) -> Label:
    """Return the regions with a pixel of at least `peak`: hysteresis."""
    regions, labels = _regions(probability_map, threshold)
    return np.asarray(np.isin(labels, np.unique(labels[regions & (probability_map >= peak)])))


def cut_by_highest(probability_map: FloatMap, threshold: float) -> Label:
    """Cut a scan whose highest probability is low at a share of that, others at the threshold."""
    share = max(FAINTEST, HIGHEST_SHARE * float(probability_map.max()))
    return cut_at(probability_map, min(threshold, share))


def cut_by_expectation(probability_map: FloatMap, threshold: float) -> Label:
    """Cut where the Dice is highest that the map itself leads to expect, its probabilities taken for true.

    Source: Lipton, Elkan and Narayanaswamy 2014, for F1, which is Dice.
    """
    surest = np.sort(probability_map[probability_map >= FAINTEST])[::-1].astype(np.float64)
    if not len(surest):
        return cut_at(probability_map, threshold)
    hits = np.cumsum(surest)
    expected = 2 * hits / (np.arange(1, len(surest) + 1) + hits[-1])
    return np.asarray(probability_map >= surest[np.argmax(expected)])


CUTS: dict[str, Cut] = {
    **{f"regions of {n} px and more": partial(cut_large, min_area_px=n) for n in MIN_AREAS_PX},
    **{f"masks of {n} px and more": partial(cut_unless_small, min_mask_px=n) for n in MIN_MASKS_PX},
    **{f"regions that reach {peak:g}": partial(cut_peaked, peak=peak) for peak in PEAKS},
    f"cut at {HIGHEST_SHARE:g} of the scan's highest": cut_by_highest,
    "cut for the highest expected Dice": cut_by_expectation,
}


def score_alternatives(
    models_dir: Path,
    listed: EnsembleFile,
    *,
    data_dir: Path,
    split: Split,
    settings: Settings,
    scales: Sequence[float] = (),
) -> Iterator[tuple[str, dict[str, ScoredScan]]]:
    """Yield every held-out scan's name, and its score under each alternative, what ships first.

    `scales` are factors on the folds' own input scale: with each, the last of the shipped views is of the
    scan at that scale, and the others are as they are. Raises `DataError` where a fold was trained on
    another split, or has no input scale.
    """
    views = listed.tta_ops
    for fold_file, _, scans in held_out_by_fold(models_dir, listed, data_dir=data_dir, split=split):
        files = [fold_file, *(rescaled(fold_file, scale) for scale in scales)]
        alone, *others = (
            build_ensemble([file], settings, tta_ops=views, threshold=listed.threshold) for file in files
        )
        for scan in scans:
            seen = [alone.probability_map(scan.grey, (view,)) for view in views]
            maps = {SHIPPED: _mean(seen)}
            for scale, ensemble in zip(scales, others, strict=True):
                other = ensemble.probability_map(scan.grey, views[-1:])
                maps[f"{views[-1]} at {scale:g} of the scale"] = _mean([*seen[:-1], other])
            masks = {name: cut_at(each, listed.threshold) for name, each in maps.items()}
            masks |= {name: cut(maps[SHIPPED], listed.threshold) for name, cut in CUTS.items()}
            yield scan.case.name, {name: _score(scan, mask) for name, mask in masks.items()}


def gather(scored: Iterable[tuple[str, dict[str, ScoredScan]]]) -> dict[str, dict[str, ScoredScan]]:
    """Return every alternative's scores by the scans' names."""
    gathered: dict[str, dict[str, ScoredScan]] = {}
    for name, scores in scored:
        for alternative, score in scores.items():
            gathered.setdefault(alternative, {})[name] = score
    return gathered


def rescaled(fold_file: FoldFile, scale: float) -> FoldFile:
    """Return a fold at so many times its own input scale; raises `DataError` where it has none."""
    own_scale = fold_file.metadata.preparation.input_scale
    if own_scale is None:
        raise DataError(f"{fold_file.name} stretches scans to one size, and has no scale to try --scale on")
    return at_scale(fold_file, own_scale * scale)


def _score(scan: LabelledScan, mask: Label) -> ScoredScan:
    dice = dice_score(scan.label, mask) if scan.case.is_patient else None
    return ScoredScan(dice, float(np.count_nonzero(mask & ~scan.label)))


def _mean(maps: Sequence[FloatMap]) -> FloatMap:
    return np.asarray(np.mean(maps, axis=0, dtype=np.float32))


def _regions(probability_map: FloatMap, threshold: float) -> tuple[Label, npt.NDArray[np.int32]]:
    """Return the pixels of at least the threshold, and the numbers of their regions, 0 elsewhere."""
    regions = cut_at(probability_map, threshold)
    _, labels = cv2.connectedComponents(regions.astype(np.uint8), connectivity=8)
    return regions, np.asarray(labels)
