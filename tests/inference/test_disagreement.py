import numpy as np
import pytest

from inference.disagreement import FoldMaps, draw_spread, mask_disagreement, spread_map
from inference.ensemble import build_ensemble, load_ensemble
from inference.preparation import Preparation
from tests.conftest import plain_settings
from training.phantoms.drawing import Phantom

LEFT, RIGHT = np.zeros((2, 40, 40), np.float32)
LEFT[:, :20] = 0.9
RIGHT[:, 20:] = 0.9


def test_disagreement_is_one_less_the_dice_between_masks() -> None:
    assert mask_disagreement([LEFT, LEFT], 0.5) == 0
    assert mask_disagreement([LEFT, RIGHT], 0.5) == 1
    assert mask_disagreement([LEFT, LEFT, RIGHT], 0.5) == pytest.approx(2 / 3)
    assert mask_disagreement([LEFT * 0, LEFT * 0], 0.5) == 0
    assert mask_disagreement([LEFT], 0.5) is None


def test_the_spread_is_the_standard_deviation_and_fills_the_grey_scale() -> None:
    spread = spread_map([LEFT, RIGHT])
    np.testing.assert_allclose(spread, 0.45, atol=1e-6)
    drawn = draw_spread(spread_map([np.zeros((4, 4), np.float32), np.ones((4, 4), np.float32)]))
    assert drawn.dtype == np.uint8
    assert (drawn == 255).all()


def test_folds_of_different_scales_are_compared_at_the_scans_size() -> None:
    whole, half = Preparation(input_scale=1.0), Preparation(input_scale=0.5)
    maps = FoldMaps(
        (np.full((64, 64), 1.2, np.float32), np.full((32, 32), 0.4, np.float32)), 2, (whole, half), (50, 60)
    )
    first, second = maps.restored()
    assert first.shape == second.shape == (50, 60)
    np.testing.assert_allclose(first, 0.6, atol=1e-6)
    np.testing.assert_allclose(second, 0.2, atol=1e-6)


def test_an_ensemble_keeps_its_folds_own_maps(phantom: Phantom) -> None:
    ensemble = load_ensemble(plain_settings())
    prediction = ensemble.predict(phantom.grey)
    maps = prediction.fold_maps.restored()
    np.testing.assert_allclose(np.mean(maps, axis=0), prediction.probability_map, atol=1e-5)
    alone = build_ensemble(ensemble.folds[:1], plain_settings(), tta_ops=ensemble.tta_ops, threshold=0.5)
    np.testing.assert_allclose(alone.probability_map(phantom.grey), maps[0], atol=1e-5)
    disagreement = prediction.disagreement()
    assert disagreement is not None
    assert 0 < disagreement < 1
    assert alone.predict(phantom.grey).disagreement() is None
