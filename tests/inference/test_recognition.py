import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
import sklearn
from PIL import Image

from inference.recognition import Appearance, look_at, recognise
from tests.conftest import SIZES, file_bytes
from training.phantoms.drawing import make_phantom
from training.scans.dataset import Case, find_cases
from utils import Scan, decode_image

REAL_SCANS = os.environ.get("TUMOR_DATA_DIR")
PHOTOGRAPHS = [
    Path(matplotlib.__file__).parent / "mpl-data" / "sample_data" / "grace_hopper.jpg",
    *sorted((Path(sklearn.__file__).parent / "datasets" / "images").glob("*.jpg")),
]
INVERTED, COLOUR, PHOTOGRAPH = "black background", "colour picture", "is it a photograph?"
BLANK, MASK, SHAPE, WIDTH = "is blank", "is it a mask", "times its width", "px wide"
RANGES = {
    "white_border": (0.73, 1.0),
    "white": (0.39, 0.71),
    "dark": (0.02, 0.18),
    "contrast": (255, 255),
    "shades": (230, 234),
    "coloured": (0, 0),
    "proportions": (0.75, 2.48),
    "width": (400, 400),
}
"""What the limits in `inference/recognition.py` say of the 512 scans of the data set."""


def photograph(path: Path, mode: str) -> Scan:
    return np.array(Image.open(path).convert(mode))


def said(scan: Scan, *expected: str) -> bool:
    """Say whether a scan's warnings are those expected, in their order, and no more."""
    warnings = recognise(scan).warnings
    return len(warnings) == len(expected) and all(
        part in warning for part, warning in zip(expected, warnings, strict=True)
    )


@pytest.mark.parametrize("size", [*SIZES, (991, 400), (489, 800)])
@pytest.mark.parametrize("lesions", [0, 8])
def test_phantoms_are_ordinary_and_known_when_inverted(size: tuple[int, int], lesions: int) -> None:
    grey = make_phantom(lesions, lesions=lesions, size=size).grey
    rgb = np.repeat(grey[..., None], 3, axis=2)
    for scan in (grey, rgb, decode_image(file_bytes(rgb, "JPEG"))):
        ordinary, inverted = recognise(scan), recognise(255 - scan)
        assert (ordinary.scan is scan, ordinary.inverted, ordinary.warnings) == (True, False, ())
        assert inverted.inverted
        assert said(255 - scan, INVERTED)
        np.testing.assert_array_equal(inverted.scan, scan)


@pytest.mark.parametrize("path", PHOTOGRAPHS, ids=lambda path: path.stem)
def test_photographs_look_like_no_scan(path: Path) -> None:
    assert said(photograph(path, "RGB"), COLOUR, PHOTOGRAPH)
    assert said(photograph(path, "L"), PHOTOGRAPH)


@pytest.mark.parametrize(
    ("scan", "expected"),
    [
        (np.full((489, 400), 255, np.uint8), [BLANK]),
        (np.full((489, 400, 3), 128, np.uint8), [BLANK]),
        (np.zeros((489, 400), np.uint8), [INVERTED, BLANK]),
        (np.random.default_rng(0).integers(200, 256, (489, 400), np.uint8), [BLANK]),
        (np.random.default_rng(0).integers(0, 256, (489, 400), np.uint8), [PHOTOGRAPH]),
        (np.tile(np.linspace(0, 255, 400).astype(np.uint8), (489, 1)), [PHOTOGRAPH]),
        (cv2.copyMakeBorder(make_phantom(0).grey, 9, 9, 9, 9, cv2.BORDER_CONSTANT, value=0), [PHOTOGRAPH]),
        (cv2.applyColorMap(make_phantom(0).grey, cv2.COLORMAP_HOT), [COLOUR]),
        (make_phantom(0).label * np.uint8(255), [INVERTED, MASK]),
        (make_phantom(0, size=(489, 150)).grey, [SHAPE, WIDTH]),
        (np.ascontiguousarray(np.rot90(make_phantom(0, size=(750, 400)).grey)), [SHAPE]),
        (make_phantom(0, size=(1956, 1600)).grey, [WIDTH]),
    ],
    ids=[
        "white",
        "grey",
        "black",
        "pale noise",
        "noise",
        "gradient",
        "framed scan",
        "colour map",
        "mask",
        "narrow",
        "on its side",
        "large",
    ],
)
def test_what_is_unusual_is_said(scan: Scan, expected: list[str]) -> None:
    assert said(scan, *expected), recognise(scan).warnings


def test_a_little_colour_makes_no_colour_picture() -> None:
    scan = np.repeat(make_phantom(0).grey[..., None], 3, axis=2)
    scan[10:20, 10:110] = (255, 0, 0)  # a caption
    assert said(scan)


def test_a_large_scan_is_judged_as_a_small_one() -> None:
    small = make_phantom(4, size=(489, 400)).grey
    large = np.kron(small, np.ones((8, 8), np.uint8))
    seen, thinned = look_at(small), look_at(large)
    assert (thinned.width, thinned.contrast) == (3200, seen.contrast)
    assert thinned.white == pytest.approx(seen.white, abs=0.01)


@pytest.mark.skipif(not REAL_SCANS, reason="TUMOR_DATA_DIR is not set")
def test_no_real_scan_is_warned_of_and_every_inverted_one_is_known() -> None:
    """The ranges that the limits were set by are those of the data."""

    def judge(case: Case) -> Appearance:
        scan = decode_image(case.scan_path.read_bytes())
        assert not recognise(scan).warnings, case.name
        assert said(255 - scan, INVERTED), case.name
        return look_at(scan)

    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(judge, find_cases(Path(str(REAL_SCANS)))))
    for name, expected in RANGES.items():
        values = [getattr(one, name) for one in seen]
        assert (min(values), max(values)) == pytest.approx(expected, abs=0.006), name
