"""Scans that are segmented together get what each gets alone."""

import numpy as np
import pytest

from inference.ensemble import Ensemble
from inference.preparation import FloatMap, Preparation
from inference.together import predict_together
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
    together = predict_together(ensemble, scans)
    assert engine.passes == [9, 9, 3, 3]  # three scans of one size, then the other, in three views a fold
    for scan, prediction in zip(scans, together, strict=True):
        alone = ensemble.predict(scan)
        np.testing.assert_allclose(prediction.probability_map, alone.probability_map, atol=1e-6)
        assert np.array_equal(prediction.mask, alone.mask)
        assert prediction.mask.any()
        assert prediction.views == alone.views
        assert prediction.disagreement() == pytest.approx(alone.disagreement())
        assert prediction.timings_ms.keys() == alone.timings_ms.keys()


def test_nothing_comes_of_no_scans(ensemble: Ensemble) -> None:
    assert predict_together(ensemble, []) == []
