"""Other ways to cut a map, and views at other scales, against what ships."""

from dataclasses import replace

import numpy as np
import pytest

from inference.preparation import ORIGINAL_PREPARATION
from inference.weights.fold_file import read_fold
from tests.conftest import ROOT
from training.judging.alternatives import (
    CUTS,
    SHIPPED,
    cut_at,
    cut_by_expectation,
    cut_by_highest,
    cut_large,
    cut_peaked,
    cut_unless_small,
    gather,
    rescaled,
)
from training.judging.paired_comparison import ScoredScan
from training.scans.dataset import DataError

MAP = np.zeros((6, 9), np.float32)
MAP[0, :2] = 0.4, 0.45  # touches the next at a corner
MAP[1, 2] = 0.9
MAP[4, 4:8] = 0.4, 0.5, 0.5, 0.4
MAP[5, 0] = 0.3


def pixels(mask: np.ndarray) -> set[tuple[int, int]]:
    return {(int(y), int(x)) for y, x in np.argwhere(mask)}


PEAKED = {(0, 0), (0, 1), (1, 2)}
FLAT = {(4, 4), (4, 5), (4, 6), (4, 7)}


def test_regions_are_kept_by_size_and_by_peak() -> None:
    assert pixels(cut_at(MAP, 0.35)) == PEAKED | FLAT
    assert pixels(cut_large(MAP, 0.35, min_area_px=4)) == FLAT
    assert pixels(cut_large(MAP, 0.35, min_area_px=5)) == set()
    assert pixels(cut_unless_small(MAP, 0.35, min_mask_px=7)) == PEAKED | FLAT
    assert pixels(cut_unless_small(MAP, 0.35, min_mask_px=8)) == set()
    assert pixels(cut_peaked(MAP, 0.35, peak=0.6)) == PEAKED
    assert pixels(cut_peaked(MAP, 0.35, peak=0.95)) == set()


def test_a_faint_scan_is_cut_lower() -> None:
    assert pixels(cut_by_highest(MAP, 0.35)) == PEAKED | FLAT
    half = np.asarray(MAP / 2, np.float32)
    assert pixels(cut_at(half, 0.35)) == {(1, 2)}
    assert pixels(cut_by_highest(half, 0.35)) == {(0, 1), (1, 2), (4, 5), (4, 6)}


def test_the_expected_dice_is_the_highest_of_all_cuts() -> None:
    """By brute force: every pixel is tumour with its own probability."""
    small = np.array([[0.9, 0.6, 0.3], [0.25, 0.1, 0.0]], np.float32)

    def expected(mask: np.ndarray) -> float:
        return float(2 * small[mask].sum() / (mask.sum() + small.sum()))

    best = max((cut_at(small, level) for level in small[small > 0]), key=expected)
    np.testing.assert_array_equal(cut_by_expectation(small, 0.5), best)
    assert not cut_by_expectation(np.zeros((3, 3), np.float32), 0.5).any()


@pytest.mark.parametrize("name", CUTS)
def test_every_cut_leaves_a_blank_map_blank(name: str) -> None:
    assert not CUTS[name](np.zeros((40, 40), np.float32), 0.35).any()


def test_scores_are_gathered_by_alternative() -> None:
    one, other = ScoredScan(0.5, 3), ScoredScan(None, 4)
    scored = [("a", {SHIPPED: one, "x": other}), ("b", {SHIPPED: other, "x": one})]
    assert gather(scored) == {SHIPPED: {"a": one, "b": other}, "x": {"a": other, "b": one}}


def test_a_fold_is_rescaled_by_a_factor_and_one_without_a_scale_refused() -> None:
    fold = read_fold(ROOT / "models" / "fold0.safetensors")
    assert rescaled(fold, 1.5).metadata.preparation.input_scale == pytest.approx(1.5 * 0.72)
    stretching = fold.metadata.model_copy(update={"preparation": ORIGINAL_PREPARATION})
    with pytest.raises(DataError, match="stretches scans to one size"):
        rescaled(replace(fold, metadata=stretching), 1.5)
