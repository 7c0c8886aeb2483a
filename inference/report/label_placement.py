"""Where the numbers of lesions go: beside them, inside the picture, on nothing that should be seen."""

from collections.abc import Iterator, Sequence
from itertools import product

import cv2
import numpy as np
import numpy.typing as npt

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; the last two are just outside."""

SIDES = ((1, 0), (-1, 0), (0, -1), (0, 1), (1, -1), (-1, -1), (1, 1), (-1, 1))
"""Right, left, above, below, and the corners, in the order in which they are tried."""

RINGS = 6
"""How many label heights away from its lesion a label may move where there is no room beside it."""


def place_labels(
    lesions: Sequence[Box], sizes: Sequence[tuple[int, int]], taken: npt.NDArray[np.bool_]
) -> list[Box]:
    """Return a place for the label of every lesion, each of a (width, height), one after the other.

    `taken` (H, W) is what labels should not hide. Where there is no free place near a lesion, its
    label hides as little as it can.
    """
    covered = cv2.integral(taken.astype(np.uint8))  # (H + 1, W + 1)
    placed: list[Box] = []
    for lesion, size in zip(lesions, sizes, strict=True):
        best, least = lesion, np.inf
        for candidate in _candidates(lesion, size, (taken.shape[0], taken.shape[1])):
            hidden = _sum_inside(covered, candidate) + sum(_overlap(candidate, other) for other in placed)
            if hidden < least:
                best, least = candidate, hidden
            if not hidden:
                break
        placed.append(best)
    return placed


def join(label: Box, lesion: Box) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return the two points at which a label and its lesion are nearest to each other."""
    (label_x, lesion_x), (label_y, lesion_y) = (
        _nearest((label[axis], label[axis + 2]), (lesion[axis], lesion[axis + 2])) for axis in (0, 1)
    )
    return (label_x, label_y), (lesion_x, lesion_y)


def _candidates(lesion: Box, size: tuple[int, int], shape: tuple[int, int]) -> Iterator[Box]:
    """Yield places around a lesion, the nearest first, each moved into the picture (height, width)."""
    left, top, right, bottom = lesion
    width, height = size
    gap = height // 4
    for ring, (x_side, y_side) in product(range(RINGS), SIDES):
        away = gap + ring * height
        x = {1: right + away, -1: left - away - width, 0: (left + right - width) // 2}[x_side]
        y = {1: bottom + away, -1: top - away - height, 0: (top + bottom - height) // 2}[y_side]
        x = min(max(x, 0), max(shape[1] - width, 0))
        y = min(max(y, 0), max(shape[0] - height, 0))
        yield x, y, x + width, y + height


def _sum_inside(integral: npt.NDArray[np.generic], box: Box) -> int:
    left, top, right, bottom = box
    rows, columns = integral.shape[0] - 1, integral.shape[1] - 1
    right, bottom = min(right, columns), min(bottom, rows)
    corners = integral[bottom, right] - integral[top, right] - integral[bottom, left] + integral[top, left]
    return int(corners)


def _overlap(one: Box, other: Box) -> int:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0) * max(height, 0)


def _nearest(one: tuple[int, int], other: tuple[int, int]) -> tuple[float, float]:
    """Return the nearest points of two intervals: the middle of what they share, or their ends."""
    if one[1] < other[0]:
        return one[1], other[0]
    if other[1] < one[0]:
        return one[0], other[1]
    middle = (max(one[0], other[0]) + min(one[1], other[1])) / 2
    return middle, middle
