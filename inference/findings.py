"""What a probability map says: the mask, its lesions, and whether there is tumour at all."""

from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from inference.preparation import FloatMap

Mask = npt.NDArray[np.uint8]


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

    weights: Annotated[tuple[float, ...], Field(min_length=3, max_length=3)]
    intercept: float

    def probability(self, probability_map: FloatMap) -> float:
        """Return the probability 0..1 that the scan shows tumour anywhere."""
        return self.probability_of(map_features(probability_map))

    def probability_of(self, features: npt.NDArray[np.float64]) -> float:
        """Return the probability 0..1 for the features (3,) of a map."""
        score = float(np.dot(self.weights, features)) + self.intercept
        return float(1 / (1 + np.exp(-np.clip(score, -50, 50))))


def map_features(probability_map: FloatMap) -> npt.NDArray[np.float64]:
    """Return what the classifier looks at in a map (H, W), as (3,) float64.

    The logarithm of one plus the map's sum (an expected tumour area in pixels), the same over
    pixels of at least one half, and the mean of the map's 50 highest pixels.
    """
    values = probability_map.ravel()
    highest = np.partition(values, -50)[-50:]
    confident = values[values >= 0.5]
    return np.array([np.log1p(values.sum()), np.log1p(confident.sum()), highest.mean()], dtype=np.float64)


def cut_mask(probability_map: FloatMap, threshold: float) -> Mask:
    """Return the RGB mask (H, W, 3) uint8, white where the map (H, W) is at least `threshold`."""
    white = (probability_map >= threshold).astype(np.uint8) * 255  # (H, W)
    return np.repeat(white[..., None], 3, axis=2)  # (H, W, 3)


def find_lesions(mask: Mask, probability_map: FloatMap) -> list[Lesion]:
    """Return the mask's regions, pixels that touch at a corner included, the largest first."""
    count, labels, stats, centroids = cv2.connectedComponentsWithStats(mask[..., 0], connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    sums = np.bincount(labels.ravel(), weights=probability_map.ravel(), minlength=count)
    order = sorted(range(1, count), key=lambda region: (-areas[region], region))
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
