from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.phantoms.drawing import make_phantom
from training.scans.dataset import DataError, find_cases, read_case, read_cases

GREY = np.random.default_rng(0).integers(0, 255, (64, 48), dtype=np.uint8)
LABEL = np.zeros((64, 48), np.uint8)
LABEL[10:20, 10:20] = 255


def write(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    write(tmp_path / "patients/imgs/patient_002.png", GREY)
    write(tmp_path / "patients/labels/segmentation_002.png", LABEL)
    write(tmp_path / "patients/imgs/patient_010.png", GREY)
    write(tmp_path / "patients/labels/segmentation_010.png", LABEL)
    write(tmp_path / "controls/imgs/control_001.png", GREY)
    return tmp_path


def test_images_and_labels_pair_by_number(data: Path) -> None:
    cases = find_cases(data)
    assert [case.name for case in cases] == ["patient_002", "patient_010", "control_001"]
    assert [case.label_path.name if case.label_path else None for case in cases] == [
        "segmentation_002.png",
        "segmentation_010.png",
        None,
    ]


def test_the_published_structure_is_found_from_above(data: Path) -> None:
    inside = data / "data" / "raw" / "tumor-segmentation"
    inside.mkdir(parents=True)
    for part in ("patients", "controls"):
        (data / part).rename(inside / part)
    assert len(find_cases(data / "data")) == len(find_cases(inside)) == 3


def test_orphans_are_all_named(data: Path) -> None:
    write(data / "patients/imgs/patient_077.png", GREY)
    write(data / "patients/labels/segmentation_078.png", LABEL)
    with pytest.raises(DataError, match=r"patient_077.png has no label; segmentation_078.png has no image"):
        find_cases(data)


def test_a_shape_mismatch_is_named(data: Path) -> None:
    write(data / "patients/labels/segmentation_002.png", LABEL[:-1])
    with pytest.raises(DataError, match=r"segmentation_002.png is \(63, 48\), but patient_002.png"):
        read_cases(find_cases(data))


def test_other_values_than_0_and_255_are_named(data: Path) -> None:
    write(data / "patients/labels/segmentation_010.png", LABEL // 2)
    with pytest.raises(DataError, match=r"segmentation_010.png has values other than 0 and 255: \[127\]"):
        read_cases(find_cases(data))


def test_a_transparent_label_is_named(data: Path) -> None:
    rgba = np.dstack([LABEL, LABEL, LABEL, LABEL])  # what is no tumour is transparent
    write(data / "patients/labels/segmentation_010.png", rgba)
    with pytest.raises(DataError, match=r"segmentation_010.png has transparent pixels"):
        read_cases(find_cases(data))


def test_every_fault_is_in_the_one_error(data: Path) -> None:
    write(data / "patients/labels/segmentation_002.png", LABEL[:-1])
    (data / "controls/imgs/control_001.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"segmentation_002.png .*control_001.png"):
        read_cases(find_cases(data))


def test_a_missing_folder_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="name the folder that holds patients/ and controls/"):
        find_cases(tmp_path)


def test_grey_rgb_and_rgba_are_read_alike(data: Path) -> None:
    rgb = np.repeat(GREY[..., None], 3, axis=2)
    rgba = np.dstack([rgb, np.full_like(GREY, 255)])
    for image in (GREY, rgb, rgba):
        write(data / "patients/imgs/patient_002.png", image)
        scan = read_case(find_cases(data)[0])
        np.testing.assert_array_equal(scan.grey, GREY)
        np.testing.assert_array_equal(scan.label, LABEL > 0)


def test_a_scan_that_is_white_on_black_is_trained_on_as_it_is_judged(data: Path) -> None:
    phantom = make_phantom(5, size=(489, 400))
    label = np.asarray(phantom.label * np.uint8(255))
    write(data / "patients/labels/segmentation_002.png", label)
    for image in (phantom.grey, np.asarray(255 - phantom.grey, np.uint8)):
        write(data / "patients/imgs/patient_002.png", image)
        scan = read_case(find_cases(data)[0])
        np.testing.assert_array_equal(scan.grey, phantom.grey)
        np.testing.assert_array_equal(scan.label, label > 0)


def test_a_control_has_an_empty_label(data: Path) -> None:
    scan = read_case(find_cases(data)[2])
    assert scan.label.shape == GREY.shape
    assert not scan.label.any()
