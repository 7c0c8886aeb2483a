import numpy as np
import pytest

from inference.tta import FLIPS, flip

IMAGE = np.arange(6, dtype=np.float32).reshape(2, 3)

EXPECTED = {
    "identity": [[0, 1, 2], [3, 4, 5]],
    "hflip": [[2, 1, 0], [5, 4, 3]],
    "vflip": [[3, 4, 5], [0, 1, 2]],
    "hvflip": [[5, 4, 3], [2, 1, 0]],
}


@pytest.mark.parametrize("op", FLIPS)
def test_views(op: str) -> None:
    np.testing.assert_array_equal(flip(IMAGE, op), EXPECTED[op])


@pytest.mark.parametrize("op", FLIPS)
def test_a_flip_is_its_own_inverse(op: str) -> None:
    np.testing.assert_array_equal(flip(flip(IMAGE, op), op), IMAGE)


def test_flips_are_contiguous() -> None:
    assert all(flip(IMAGE, op).flags.c_contiguous for op in FLIPS)
