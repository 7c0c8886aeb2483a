import numpy as np
import pytest

from inference.findings import Classifier, cut_mask, find_lesions, map_features

MAP = np.zeros((40, 60), np.float32)
MAP[5:10, 10:20] = 0.9
MAP[30:32, 40:42] = 0.6
MAP[32, 42] = 0.6  # touches at a corner
MAP[20, 50] = 0.4  # below the threshold


def test_cut_mask_is_white_from_the_threshold_on() -> None:
    mask = cut_mask(np.array([[0.4, 0.5, 0.6]], np.float32), 0.5)
    np.testing.assert_array_equal(mask[..., 0], [[0, 255, 255]])
    assert mask.dtype == np.uint8
    assert mask.shape == (1, 3, 3)


def test_lesions_are_regions_the_largest_first() -> None:
    large, small = find_lesions(cut_mask(MAP, 0.5), MAP)
    assert (large.id, large.area_px, large.bbox_xywh, large.centroid_xy) == (
        1,
        50,
        (10, 5, 10, 5),
        (14.5, 7.0),
    )
    assert large.mean_probability == pytest.approx(0.9, abs=1e-4)
    assert (small.id, small.area_px, small.bbox_xywh) == (2, 5, (40, 30, 3, 3))


def test_an_empty_mask_has_no_lesions() -> None:
    assert find_lesions(cut_mask(MAP * 0, 0.5), MAP * 0) == []


def test_classifier_follows_its_features() -> None:
    classifier = Classifier(weights=(0.5, 0.5, 4.0), intercept=-4.0)
    blank, tumour = classifier.probability(MAP * 0), classifier.probability(MAP)
    assert blank == pytest.approx(1 / (1 + np.exp(4)))
    assert tumour > 0.9
    assert classifier.probability(np.ones((4096, 4096), np.float32)) <= 1


def test_features_of_a_map() -> None:
    total, confident, highest = map_features(MAP)
    assert total == pytest.approx(np.log1p(50 * 0.9 + 5 * 0.6 + 0.4))
    assert confident == pytest.approx(np.log1p(50 * 0.9 + 5 * 0.6))
    assert highest == pytest.approx(0.9)
