import numpy as np

from example import get_threshold_segmentation, predict
from utils import validate_segmentation


def test_baseline_marks_what_is_dark() -> None:
    scan = np.full((40, 50, 3), 255, np.uint8)
    scan[10:20, 10:20] = 49
    scan[20:30, 10:20] = 50
    mask = predict(scan)
    validate_segmentation(scan, mask)
    assert (mask[10:20, 10:20] == 255).all()
    assert mask[..., 0].sum() == 255 * 100


def test_threshold_is_exclusive() -> None:
    grey = np.array([[9, 10, 11]], np.uint8)
    np.testing.assert_array_equal(get_threshold_segmentation(grey, 10), [[255, 0, 0]])
