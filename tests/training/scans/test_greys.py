import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from inference.volumes.grey_scale import PIXEL_MM, SUV_MAX
from training.scans.dataset import find_cases, read_case
from training.scans.greys import measure_greys


def drawn_control(length_px: int, liver: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    grey = np.full((length_px + 40, 400), 255, np.uint8)
    cv2.ellipse(grey, (200, 20 + length_px // 2), (70, length_px // 2), 0, 0, 360, (225,), -1)
    cv2.ellipse(grey, (165, 20 + length_px // 3), (30, 30), 0, 0, 360, (liver,), -1)
    return grey


def test_bodies_and_livers_are_measured_where_they_are_whole() -> None:
    controls = [drawn_control(860, 130), drawn_control(880, 150), drawn_control(870, 140)[100:600]]
    measured = measure_greys(controls)
    np.testing.assert_allclose(measured.body_px, [861, 881], atol=2)
    np.testing.assert_array_equal(measured.liver_grey, [130, 150, 140])
    assert measured.pixel_mm == pytest.approx(1740 / 871, rel=0.01)
    assert measured.projected_over_mean == pytest.approx(1, abs=0.05)  # nothing is drawn as noise
    assert measured.suv_max == pytest.approx(2.23 / (1 - 140 / 255), rel=0.05)


@pytest.mark.skipif("TUMOR_DATA_DIR" not in os.environ, reason="needs real scans: TUMOR_DATA_DIR")
def test_the_controls_look_as_volumes_are_drawn() -> None:
    controls = [c for c in find_cases(Path(os.environ["TUMOR_DATA_DIR"])) if not c.is_patient]
    measured = measure_greys(read_case(case).grey for case in controls)
    assert measured.pixel_mm == pytest.approx(PIXEL_MM, abs=0.1)
    assert measured.suv_max == pytest.approx(SUV_MAX, abs=1.5)
