import numpy as np

from inference.findings import cut_mask
from inference.overlay import OUTLINE_RGB, draw_overlay


def test_lesions_are_outlined_and_not_painted_over() -> None:
    scan = np.full((100, 200), 240, np.uint8)
    scan[40:60, 80:120] = 30
    picture = draw_overlay(scan, cut_mask((scan < 100).astype(np.float32), 0.5))
    assert picture.shape == (400, 800, 3)
    outline = (picture == OUTLINE_RGB).all(axis=2)
    assert not outline[160:240, 320:480].any()
    assert outline[158, 400]
    assert (picture[200, 400] == 30).all()


def test_an_empty_mask_leaves_the_scan_as_it_is() -> None:
    scan = np.full((1000, 900, 3), 120, np.uint8)
    np.testing.assert_array_equal(draw_overlay(scan, np.zeros_like(scan)), scan)
