"""What the controls show of two things that the data set does not say: a pixel's size and the SUV of black.

Sources of the published values: SUVs of liver and blood pool, Boktor et al., J Nucl Med 2013;54:677.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from inference.preparation import GreyScan

LIVER_SUV_MEAN = 2.23
"""Boktor et al.: 2.17 and 2.29 on two visits, standard deviation 0.44."""

BODY_LENGTH_MM = 1740.0
"""From the top of the head to the toes of somebody lying: a mean adult of 1.70 m, whose feet point down."""

BODY_GREY = 245
MARGIN_PX = 4
MIN_WHOLE_BODY_PX = 700
LIVER_SIDE_PX = 37
LIVER_GREY = (60.0, 240.0)
LIVER_SD = 9.0
"""A smoothed liver is that even; vessels, bowel and ribs are not."""


@dataclass(frozen=True)
class Greys:
    """Lengths of whole bodies in px; each liver's grey, and how that varies from pixel to pixel."""

    body_px: npt.NDArray[np.float64]
    liver_grey: npt.NDArray[np.float64]
    liver_noise: npt.NDArray[np.float64]

    @property
    def pixel_mm(self) -> float:
        """Return the side of a pixel, in mm, of the mean whole body."""
        return BODY_LENGTH_MM / float(self.body_px.mean())

    @property
    def liver_uptake(self) -> float:
        """Return the median liver's uptake, 0 to 1, black being 1."""
        return 1 - float(np.median(self.liver_grey)) / 255

    @property
    def projected_over_mean(self) -> float:
        """Return by how much the liver's projection is above its mean: a maximum gathers noise.

        The noise of a voxel is taken for log-normal, and its size from how the maximum varies:
        for so many independent draws its mean lies 1.87 and its standard deviation is 0.53 of theirs.
        """
        drawn = 255 * self.liver_uptake
        sigma = float(np.median(self.liver_noise)) / drawn / _SD_OF_MAXIMUM
        return math.exp(_MEAN_OF_MAXIMUM * sigma - sigma**2 / 2)

    @property
    def suv_max(self) -> float:
        """Return the SUV of black: that at which the median liver has the published mean SUV."""
        return LIVER_SUV_MEAN * self.projected_over_mean / self.liver_uptake


_MEAN_OF_MAXIMUM, _SD_OF_MAXIMUM = 1.867, 0.525
"""Of the highest of 20 standard normal draws: a line through a liver of 13 cm crosses about so many voxels
of independent noise."""


def measure_greys(scans: Iterable[GreyScan]) -> Greys:
    """Measure controls, grey (H, W) uint8: bodies that are there from head to toe, and livers."""
    bodies, livers, noises = [], [], []
    for grey in scans:
        length = _body_px(grey)
        if length is not None:
            bodies.append(length)
        liver = _liver(grey)
        if liver is not None:
            livers.append(float(np.median(liver)))
            noises.append(float(np.std(liver - cv2.blur(liver, (11, 11)))))
    return Greys(np.array(bodies), np.array(livers), np.array(noises))


def _body(grey: GreyScan) -> tuple[npt.NDArray[np.bool_], int, int]:
    """Return the largest region that is not white (H, W), its first row, and how many rows it has."""
    dark = (cv2.medianBlur(grey, 7) < BODY_GREY).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(dark)
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    top, height = stats[largest, cv2.CC_STAT_TOP], stats[largest, cv2.CC_STAT_HEIGHT]
    return labels == largest, int(top), int(height)


def _body_px(grey: GreyScan) -> int | None:
    """Return the length of a body that neither edge cuts off."""
    _, top, height = _body(grey)
    is_whole = top >= MARGIN_PX and top + height <= len(grey) - MARGIN_PX
    return height if is_whole and height >= MIN_WHOLE_BODY_PX else None


def _liver(grey: GreyScan) -> npt.NDArray[np.float32] | None:
    """Return the darkest even square in the image's left half: the patient's right, where the liver is."""
    body, _, _ = _body(grey)
    middle = int(np.median(np.nonzero(body)[1]))
    smooth = cv2.medianBlur(grey, 11).astype(np.float32)
    side = (LIVER_SIDE_PX, LIVER_SIDE_PX)
    mean = np.asarray(cv2.blur(smooth, side), dtype=np.float32)
    variance = np.asarray(cv2.blur(smooth * smooth, side), dtype=np.float32) - mean * mean
    half = LIVER_SIDE_PX // 2
    allowed = (variance <= LIVER_SD**2) & (mean >= LIVER_GREY[0]) & (mean <= LIVER_GREY[1])
    inside = np.zeros_like(allowed)
    inside[half : len(grey) - half, half : middle - half // 2] = True
    allowed &= inside
    if not allowed.any():
        return None
    row, column = np.unravel_index(np.where(allowed, mean, np.inf).argmin(), mean.shape)
    return grey[row - half : row + half + 1, column - half : column + half + 1].astype(np.float32)
