"""The picture that people look at: the scan, and the mask's outline in colour."""

import cv2
import numpy as np
import numpy.typing as npt

from inference.findings import Mask
from inference.preparation import to_grey
from utils import Scan

OUTLINE_RGB = (213, 0, 50)
MIN_WIDTH_PX = 800


def draw_overlay(scan: Scan, mask: Mask) -> npt.NDArray[np.uint8]:
    """Return the scan with every lesion outlined, RGB uint8, enlarged to at least 800 px of width.

    `scan` is (H, W) or (H, W, 3), `mask` (H, W, 3). The outline runs around a lesion's pixels.
    """
    grey = to_grey(scan)
    zoom = -(-MIN_WIDTH_PX // grey.shape[1])
    size = (grey.shape[1] * zoom, grey.shape[0] * zoom)
    picture = cv2.cvtColor(cv2.resize(grey, size, interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2RGB)
    inside = cv2.resize(mask[..., 0], size, interpolation=cv2.INTER_NEAREST)
    around = cv2.dilate(inside, np.ones((5, 5), np.uint8))
    picture[(around > 0) & (inside == 0)] = OUTLINE_RGB
    return np.asarray(picture, dtype=np.uint8)
