"""Scans that are segmented in one batch get what each gets alone."""

import numpy as np
import pytest

from inference.deadline import Deadline
from inference.ensemble import Ensemble
from inference.preparation import FloatMap, Preparation
from inference.weights.fold_file import FoldFile, FoldMetadata
from tests.conftest import ROOT
from training.phantoms.drawing import make_phantom

SIZES = ((120, 96), (96, 120), (120, 96), (120, 96))


class DarkestEngine:
    """Maps a view to what no flip leaves as it is, and notes how large passes were."""

    name = "darkest"
    parallel_passes = 1
    views_per_pass = 4

    def __init__(self) -> None:
        self.passes: list[int] = []

    def run(self, fold: int, views: FloatMap) -> FloatMap:
        self.passes.append(len(views))
        slope = np.linspace(0, 0.2, views.shape[2], dtype=np.float32)
        return np.asarray(np.clip(views * (0.9 - 0.1 * fold) + slope, 0, 1), dtype=np.float32)


@pytest.fixture
def engine() -> DarkestEngine:
    return DarkestEngine()


@pytest.fixture
def ensemble(engine: DarkestEngine) -> Ensemble:
    folds = [
        FoldFile(
            ROOT / f"none{fold}.safetensors",
            str(fold) * 64,
            FoldMetadata(fold=fold, preparation=Preparation(input_scale=scale)),
        )
        for fold, scale in ((0, 1.0), (1, 0.5))
    ]
    return Ensemble(folds, engine, tta_ops=("identity", "hflip", "vflip"), threshold=0.6)


def test_each_scan_gets_what_it_gets_alone(ensemble: Ensemble, engine: DarkestEngine) -> None:
    scans = [make_phantom(seed, size=size).grey for seed, size in enumerate(SIZES)]
    together = ensemble.predict_batch(scans)
    assert engine.passes == [9, 9, 3, 3]  # three scans of one size, then the other, in three views a fold
    for scan, prediction in zip(scans, together, strict=True):
        alone = ensemble.predict(scan)
        np.testing.assert_allclose(prediction.probability_map, alone.probability_map, atol=1e-6)
        assert np.array_equal(prediction.mask, alone.mask)
        assert prediction.mask.any()
        assert prediction.views == alone.views
        assert prediction.disagreement() == pytest.approx(alone.disagreement())
        assert prediction.timings_ms.keys() == alone.timings_ms.keys()


def test_a_deadline_is_that_of_all(ensemble: Ensemble, engine: DarkestEngine) -> None:
    engine.views_per_pass = 1
    scans = [make_phantom(seed, size=size).grey for seed, size in enumerate(SIZES)]
    hurried = ensemble.predict_batch(scans, Deadline(0))
    assert engine.passes == [3, 3, 1, 1]  # every scan as it is, by both folds, and no flip
    assert {prediction.views for prediction in hurried} == {("identity",)}
    only = Ensemble(ensemble.folds, engine, tta_ops=("identity",), threshold=0.6)
    for scan, prediction in zip(scans, hurried, strict=True):
        np.testing.assert_array_equal(prediction.probability_map, only.predict(scan).probability_map)


def test_nothing_comes_of_no_scans(ensemble: Ensemble) -> None:
    assert ensemble.predict_batch([]) == []
