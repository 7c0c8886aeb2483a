from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.conftest import ROOT, SIZES
from training.phantoms.drawing import HEIGHTS_PX, SAMPLES, WIDTH_PX, make_phantom, make_sample, write_phantoms
from training.scans.dataset import find_cases, read_cases


def test_equal_seeds_draw_equal_phantoms() -> None:
    np.testing.assert_array_equal(make_phantom(5).grey, make_phantom(5).grey)
    assert (make_phantom(5, size=(489, 400)).grey != make_phantom(6, size=(489, 400)).grey).any()


@pytest.mark.parametrize("size", SIZES)
def test_a_phantom_has_the_size_that_is_asked_for(size: tuple[int, int]) -> None:
    phantom = make_phantom(0, size=size)
    assert phantom.grey.shape == phantom.label.shape == size
    assert phantom.grey.dtype == np.uint8
    assert phantom.label.dtype == np.bool_


def test_usual_sizes_are_the_default() -> None:
    height, width = make_phantom(3).grey.shape
    assert (height in HEIGHTS_PX, width) == (True, WIDTH_PX)


def test_no_lesions_leave_an_empty_label() -> None:
    assert not make_phantom(2, lesions=0).label.any()


@pytest.mark.parametrize("seed", range(5))
def test_lesions_have_the_number_and_size_that_are_asked_for_and_are_dark(seed: int) -> None:
    phantom = make_phantom(seed, lesions=1, radius_px=(6, 6), size=(489, 400))
    count, _, stats, _ = cv2.connectedComponentsWithStats(phantom.label.astype(np.uint8))
    assert count == 2
    assert np.pi * 6 * 6 * 0.6 < stats[1, cv2.CC_STAT_AREA] < np.pi * 6 * 6 * 1.15
    ring = cv2.dilate(phantom.label.astype(np.uint8), np.ones((9, 9))).astype(bool) & ~phantom.label
    assert phantom.grey[phantom.label].mean() < phantom.grey[ring].mean() - 30


def test_the_border_is_white_and_the_body_is_not() -> None:
    grey = make_phantom(1, size=(489, 400)).grey
    assert (grey[:, 0] == 255).all()
    assert grey[250, 200] < 250
    assert grey.min() < 20


@pytest.mark.parametrize("name", SAMPLES)
def test_the_shipped_samples_are_what_the_generator_draws(name: str) -> None:
    phantom, folder = make_sample(name), ROOT / "samples"
    scan = np.asarray(Image.open(folder / f"{name}.png")).astype(int)
    assert np.abs(scan - phantom.grey).max() <= 1  # a blur may round differently on another processor
    np.testing.assert_array_equal(np.asarray(Image.open(folder / f"{name}_label.png")) > 0, phantom.label)


def test_a_written_data_set_is_read_back(tmp_path: Path) -> None:
    write_phantoms(tmp_path, patients=3, controls=2, seed=1)
    scans = read_cases(find_cases(tmp_path))
    assert [scan.case.is_patient for scan in scans] == [True, True, True, False, False]
    assert all(scan.label.any() == scan.case.is_patient for scan in scans)
