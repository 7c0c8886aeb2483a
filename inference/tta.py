"""Test-time augmentation: the flips that a scan is seen in, and back."""

from collections.abc import Iterable, Sequence

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


def views_of(image: FloatMap, ops: Sequence[str]) -> FloatMap:
    """Return an image (h, w) in every named view, (views, h, w)."""
    return np.stack([flip(image, op) for op in ops])


def sum_of_views(maps: Iterable[FloatMap], ops: Sequence[str]) -> FloatMap:
    """Return the sum (h, w) of a scan's maps, each turned back from the view that is named for it."""
    unflipped = [flip(view, op) for view, op in zip(maps, ops, strict=True)]
    return np.asarray(np.sum(unflipped, axis=0, dtype=np.float32))
