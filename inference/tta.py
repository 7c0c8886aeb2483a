"""Test-time augmentation: the flips that a scan is seen in, and back."""

import numpy as np

from inference.preparation import FloatMap

ROW_AXIS, COLUMN_AXIS = -2, -1

FLIPS: dict[str, tuple[int, ...]] = {
    "identity": (),
    "hflip": (COLUMN_AXIS,),
    "vflip": (ROW_AXIS,),
    "hvflip": (ROW_AXIS, COLUMN_AXIS),
}
"""Each view's name and the axes that it reverses; every flip is its own inverse."""


def flip(image: FloatMap, op: str) -> FloatMap:
    """Return an image or map (..., h, w) in the named view; applied twice it is the identity."""
    return np.ascontiguousarray(np.flip(image, FLIPS[op]))
