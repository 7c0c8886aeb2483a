import numpy as np
import pytest
from pydantic import ValidationError

from inference.preparation import MAX_INPUT_PIXELS, ORIGINAL_PREPARATION, Preparation, resize, to_grey
from tests.conftest import SIZES

HALF = Preparation(input_scale=0.5)


@pytest.mark.parametrize("size", [*SIZES, (32, 32), (4096, 4096), (32, 4096)])
@pytest.mark.parametrize("preparation", [HALF, ORIGINAL_PREPARATION])
def test_input_sides_are_multiples_of_32_and_maps_come_back_in_the_scans_size(
    preparation: Preparation, size: tuple[int, int]
) -> None:
    prepared = preparation.prepare(np.full(size, 200, np.uint8))
    assert prepared.dtype == np.float32
    assert all(side % 32 == 0 for side in prepared.shape)
    assert preparation.padded_size(size) == prepared.shape
    restored = preparation.restore(prepared, size)
    assert restored.shape == size
    assert restored.dtype == np.float32


def test_uptake_is_the_inverse_of_grey_and_padding_has_none() -> None:
    prepared = HALF.prepare(np.full((70, 90), 51, np.uint8))  # resized to 35 x 45
    assert prepared.shape == (64, 64)
    np.testing.assert_allclose(prepared[:35, :45], 0.8, atol=1e-6)
    assert not prepared[35:].any()
    assert not prepared[:, 45:].any()


def test_the_original_stretches_to_1536_by_786_and_does_not_invert() -> None:
    scan = np.full((100, 100), 50, np.uint8)
    scan[:50] = 150
    prepared = ORIGINAL_PREPARATION.prepare(scan)
    assert prepared.shape == (1536, 800)
    assert prepared[10, 10] == pytest.approx(1)
    assert prepared[1500, 10] == pytest.approx(0)


def test_a_constant_scan_is_normalised_without_a_division_by_zero() -> None:
    assert np.isfinite(ORIGINAL_PREPARATION.prepare(np.full((40, 40), 7, np.uint8))).all()


def test_finely_sampled_scans_cost_no_more_than_the_limit() -> None:
    height, width = HALF.resized_size((4096, 4096))
    assert height * width <= MAX_INPUT_PIXELS * 1.01
    assert HALF.resized_size((991, 400)) == (496, 200)


def test_a_step_edge_stays_where_it_was() -> None:
    edge = np.zeros((96, 96), np.float32)
    edge[:, 41:] = 1
    there = resize(edge, (46, 46))
    back = resize(there, (96, 96)) >= 0.5
    assert abs(int(np.argmax(back[48])) - 41) <= 1


def test_to_grey_keeps_equal_channels_exactly() -> None:
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(to_grey(np.repeat(grey[..., None], 3, axis=2)), grey)
    assert to_grey(grey) is grey


@pytest.mark.parametrize("content", [{}, {"input_scale": 0.5, "input_size": (64, 64)}, {"input_scale": 0}])
def test_a_preparation_has_exactly_one_kind_of_resize(content: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Preparation.model_validate(content)
