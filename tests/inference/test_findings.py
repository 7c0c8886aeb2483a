import numpy as np
import pytest
from pydantic import ValidationError

from inference.findings import FEATURES, Classifier, cut_mask, decide, find_lesions, map_features

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


def classifier_of(*weights: float) -> Classifier:
    return Classifier(weights=dict(zip(FEATURES, weights, strict=True)), intercept=-4.0)


def test_classifier_follows_its_features() -> None:
    classifier = classifier_of(4.0, 4.0, 1.0)
    blank, tumour = classifier.probability(MAP * 0), classifier.probability(MAP)
    assert blank == pytest.approx(1 / (1 + np.exp(4)))
    assert tumour > 0.9
    assert classifier.probability(np.ones((4096, 4096), np.float32)) <= 1


def test_features_of_a_map() -> None:
    """The sure region has a wide, pale rim: its core is as sure as before, as a whole it is not."""
    halo = np.where(MAP > 0, MAP, 0).astype(np.float32)
    halo[0:15, 5:25] = np.maximum(halo[0:15, 5:25], 0.2)  # 300 px, of which 50 have 0.9
    surest_region, surest_core, sure_regions = map_features(MAP)
    assert surest_region == surest_core == pytest.approx(0.9)
    assert sure_regions == pytest.approx(np.log(2))
    surest_region, surest_core, sure_regions = map_features(halo)
    assert surest_region == pytest.approx(0.6)  # the region of five pixels
    assert surest_core == pytest.approx(0.9)
    assert sure_regions == 0
    assert not map_features(MAP * 0).any()


def test_a_classifier_of_other_features_is_refused() -> None:
    for weights in ((0.2, 0.7, 2.8), {"log_sum": 0.2, "surest_core": 0.7, "log_sure_regions": 2.8}):
        with pytest.raises(ValidationError, match="run `python -m training calibrate` again"):
            Classifier.model_validate({"weights": weights, "intercept": -8.3})


def test_a_mask_is_blank_below_a_probability() -> None:
    classifier = classifier_of(4.0, 4.0, 1.0)
    marked, probability = decide(MAP, threshold=0.5, classifier=classifier)
    assert marked.any()
    for below, blank in ((probability - 1e-6, False), (probability, False), (probability + 1e-6, True)):
        mask, same = decide(MAP, threshold=0.5, classifier=classifier, blank_below=below)
        assert same == probability
        assert mask.shape == marked.shape
        assert mask.any() != blank
    assert decide(MAP, threshold=0.5)[1] == pytest.approx(0.9)  # without a classifier
