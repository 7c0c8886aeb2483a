"""How far the folds agree on a scan: a number, and a map of where they do not."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from inference.preparation import FloatMap, GreyScan, Preparation
from utils import dice_score


@dataclass(frozen=True)
class FoldMaps:
    """Each fold's own map, left at its network's resolution until somebody asks how far they agree."""

    sums: tuple[FloatMap, ...]  # (h, w) each: probabilities summed over views
    views: int
    preparations: tuple[Preparation, ...]
    scan_size: tuple[int, int]

    def restored(self) -> list[FloatMap]:
        """Return the probability map of every fold, (H, W) float32."""
        pairs = zip(self.preparations, self.sums, strict=True)
        return [p.restore(total / np.float32(self.views), self.scan_size) for p, total in pairs]

    def mean(self) -> FloatMap:
        """Return the mean map over folds and views, (H, W) float32."""
        total = np.zeros(self.scan_size, dtype=np.float32)
        for preparation, of_fold in zip(self.preparations, self.sums, strict=True):
            total += preparation.restore(of_fold, self.scan_size)  # (H, W)
        return total / np.float32(len(self.sums) * self.views)


def mask_disagreement(maps: Sequence[FloatMap], threshold: float) -> float | None:
    """Return one less the mean Dice of the masks that maps (H, W) give alone, over all pairs of them.

    0 is full agreement, two empty masks included; 1 is none. A single map has nobody to disagree
    with: None.
    """
    masks = [single >= threshold for single in maps]
    dice = [dice_score(first, second) for first, second in combinations(masks, 2)]
    return 1 - float(np.mean(dice)) if dice else None


def spread_map(maps: Sequence[FloatMap]) -> FloatMap:
    """Return the standard deviation of the maps (H, W) at every pixel, float32 in 0..0.5."""
    return np.asarray(np.std(np.stack(maps), axis=0), dtype=np.float32)


def draw_spread(spread: FloatMap) -> GreyScan:
    """Return a grey picture (H, W) uint8 of a spread: 0 is none, 255 the largest possible, one half."""
    return (spread * 2 * 255).round().clip(0, 255).astype(np.uint8)
