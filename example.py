"""The competition kit's baseline: whatever is dark is tumour."""

import numpy as np
import numpy.typing as npt

THRESHOLD = 50


def predict(img: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Segment a scan (H, W, 3) uint8 by its grey alone; returns a mask (H, W, 3) of 0 and 255."""
    return get_threshold_segmentation(img, THRESHOLD)


def get_threshold_segmentation(img: npt.NDArray[np.uint8], threshold: int) -> npt.NDArray[np.uint8]:
    """Return white where the scan is darker than `threshold`, black elsewhere; the shape is the scan's."""
    return (img < threshold).astype(np.uint8) * np.uint8(255)
