"""What a probability map says: the mask, its lesions, and whether there is tumour at all."""

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, field_validator

from inference.preparation import FloatMap

Mask = npt.NDArray[np.uint8]

FEATURES = ("surest_region", "surest_core", "log_sure_regions")
"""What the classifier looks at, by name: `ensemble.json` has a weight for each."""

REGION_LEVEL, CORE_LEVEL, SURE = 0.1, 0.5, 0.7


class Lesion(BaseModel):
    """One connected region of the mask, in pixels of the scan; the origin is its top left corner."""

    id: int
    bbox_xywh: tuple[int, int, int, int]
    centroid_xy: tuple[float, float]
    area_px: int
    mean_probability: float


class Classifier(BaseModel):
    """A logistic regression on `map_features`, fitted on out-of-fold probability maps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: dict[str, float]
    intercept: float

    @field_validator("weights", mode="before")
    @classmethod
    def _weights_of_these_features(cls, weights: object) -> object:
        if not isinstance(weights, dict) or set(weights) != set(FEATURES):
            raise ValueError(
                f"the classifier is another version's, and not one of {len(FEATURES)} features "
                f"({', '.join(FEATURES)}): run `python -m training calibrate` again, or restore the file"
            )
        return weights

    def probability(self, probability_map: FloatMap) -> float:
        """Return the probability 0..1 that the scan shows tumour anywhere."""
        return self.probability_of(map_features(probability_map))

    def probability_of(self, features: npt.NDArray[np.float64]) -> float:
        """Return the probability 0..1 for the features (3,) of a map."""
        score = float(np.dot([self.weights[name] for name in FEATURES], features)) + self.intercept
        return float(1 / (1 + np.exp(-np.clip(score, -50, 50))))


def map_features(probability_map: FloatMap) -> npt.NDArray[np.float64]:
    """Return what the classifier looks at in a map (H, W), `FEATURES` as (3,) float64.

    The map is seen as regions, each of which is surer or less sure to be a lesion by the mean
    probability of its pixels: the surest of those cut at a low level, the surest of those cut at
    one half, and the logarithm of one plus the number of sure ones. How large a region is counts
    for nothing: organs are.
    """
    wide, narrow = (_region_means(probability_map, level) for level in (REGION_LEVEL, CORE_LEVEL))
    sure = np.count_nonzero(wide >= SURE)
    return np.array([wide.max(initial=0), narrow.max(initial=0), np.log1p(sure)], dtype=np.float64)


def _region_means(probability_map: FloatMap, level: float) -> npt.NDArray[np.float64]:
    """Return the mean probability of every connected region of pixels of at least `level`."""
    _, labels = cv2.connectedComponents((probability_map >= level).astype(np.uint8), connectivity=8)
    inside = labels > 0
    regions = labels[inside]
    sums = np.bincount(regions, weights=probability_map[inside])[1:]
    return np.asarray(sums / np.bincount(regions)[1:])


def decide(
    probability_map: FloatMap,
    *,
    threshold: float,
    classifier: Classifier | None = None,
    blank_below: float = 0,
) -> tuple[Mask, float]:
    """Return the mask (H, W, 3) of a map (H, W), and the probability of tumour anywhere in the scan.

    That probability is the classifier's, or without one the highest of the map; where it is below
    `blank_below`, the mask is black.
    """
    highest = float(probability_map.max())
    probability = highest if classifier is None else classifier.probability(probability_map)
    mask = cut_mask(probability_map, threshold)
    return (np.zeros_like(mask) if probability < blank_below else mask), probability


def cut_mask(probability_map: FloatMap, threshold: float) -> Mask:
    """Return the RGB mask (H, W, 3) uint8, white where the map (H, W) is at least `threshold`."""
    white = (probability_map >= threshold).astype(np.uint8) * 255  # (H, W)
    return np.repeat(white[..., None], 3, axis=2)  # (H, W, 3)


def find_lesions(mask: Mask, probability_map: FloatMap) -> list[Lesion]:
    """Return the mask's regions, pixels that touch at a corner included, the largest first."""
    count, labels, stats, centroids = cv2.connectedComponentsWithStats(mask[..., 0], connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    sums = np.bincount(labels.ravel(), weights=probability_map.ravel(), minlength=count)
    order = _largest_first(areas)
    lesions = []
    for number, region in enumerate(order, start=1):
        x, y, width, height, area = stats[region].tolist()
        centre_x, centre_y = centroids[region].tolist()
        lesion = Lesion(
            id=number,
            bbox_xywh=(x, y, width, height),
            centroid_xy=(round(centre_x, 1), round(centre_y, 1)),
            area_px=area,
            mean_probability=round(float(sums[region] / area), 4),
        )
        lesions.append(lesion)
    return lesions


def label_lesions(mask: Mask) -> npt.NDArray[np.int32]:
    """Return a map (H, W) int32 of a mask's regions: each pixel has the id of its lesion, or 0."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask[..., 0], connectivity=8)
    ids = np.zeros(len(stats), dtype=np.int32)
    ids[_largest_first(stats[:, cv2.CC_STAT_AREA])] = np.arange(1, len(stats))
    return np.asarray(ids[labels])


def _largest_first(areas: npt.NDArray[Any]) -> list[int]:
    """Return the numbers of the regions that have these areas, without the background's, which is 0."""
    return sorted(range(1, len(areas)), key=lambda region: (-areas[region], region))
