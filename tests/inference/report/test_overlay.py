import numpy as np
import pytest

from inference.findings import cut_mask, find_lesions
from inference.report.overlay import HALO_RGB, MAX_NUMBERED, OUTLINE_RGB, draw_overlay


def test_lesions_are_outlined_and_not_painted_over() -> None:
    scan = np.full((100, 200), 240, np.uint8)
    scan[40:60, 80:120] = 30
    picture = draw_overlay(scan, cut_mask((scan < 100).astype(np.float32), 0.5))
    assert picture.shape == (400, 800, 3)
    outline = (picture == OUTLINE_RGB).all(axis=2)
    assert not outline[160:240, 320:480].any()
    assert outline[158, 400]
    assert (picture[200, 400] == 30).all()


@pytest.mark.parametrize(("shape", "drawn"), [((4096, 32), (4096, 32)), ((1500, 200), (3000, 400))])
def test_a_high_scan_is_not_enlarged_beyond_what_memory_holds(
    shape: tuple[int, int], drawn: tuple[int, int]
) -> None:
    label = np.zeros(shape, np.float32)
    label[20:30, 10:20] = 1
    mask = cut_mask(label, 0.5)
    picture = draw_overlay(np.full(shape, 200, np.uint8), mask, find_lesions(mask, label))
    assert picture.shape == (*drawn, 3)
    assert (picture == OUTLINE_RGB).all(axis=2).any()


def test_an_empty_mask_leaves_the_scan_as_it_is() -> None:
    scan = np.full((1000, 900, 3), 120, np.uint8)
    np.testing.assert_array_equal(draw_overlay(scan, np.zeros_like(scan)), scan)


def test_lesions_are_numbered_beside_them_on_a_halo() -> None:
    scan = np.full((200, 400), 60, np.uint8)
    label = np.zeros(scan.shape, np.float32)
    label[90:110, 190:210] = 1
    label[0:9, 0:12] = 1  # in a corner, where the number has to give way
    mask = cut_mask(label, 0.5)
    lesions = find_lesions(mask, label)
    plain, numbered = draw_overlay(scan, mask), draw_overlay(scan, mask, lesions)
    inside = np.kron(mask[..., 0], np.ones((2, 2), np.uint8)) > 0
    changed = (plain != numbered).any(axis=2)
    assert not (changed & inside).any()
    assert not (changed & (plain == OUTLINE_RGB).all(axis=2)).any()
    near = np.zeros_like(changed)
    for lesion in lesions:
        x, y, width, height = (2 * length for length in lesion.bbox_xywh)
        around = (slice(max(0, y - 40), y + height + 40), slice(max(0, x - 40), x + width + 40))
        near[around] = True
        new = numbered[around][changed[around]]
        assert (new == OUTLINE_RGB).all(axis=1).any(), lesion.id
        assert (new == HALO_RGB).all(axis=1).any(), lesion.id
    assert not (changed & ~near).any()


def test_the_numbers_are_the_lesions_own() -> None:
    scan = np.full((200, 400), 255, np.uint8)
    label = np.zeros(scan.shape, np.float32)
    label[90:110, 190:210] = 1
    mask = cut_mask(label, 0.5)
    (lesion,) = find_lesions(mask, label)
    one, seven = (draw_overlay(scan, mask, [lesion.model_copy(update={"id": id})]) for id in (1, 7))
    assert (one != seven).any()


def test_a_scan_full_of_lesions_is_not_hidden_by_numbers() -> None:
    label = np.zeros((400, 400), np.float32)
    label[10::20, 10::20] = 1
    mask = cut_mask(label, 0.5)
    lesions = find_lesions(mask, label)
    assert len(lesions) == 400
    scan = np.full(label.shape, 255, np.uint8)
    np.testing.assert_array_equal(
        draw_overlay(scan, mask, lesions), draw_overlay(scan, mask, lesions[:MAX_NUMBERED])
    )
