import time

import numpy as np
import pytest

from inference.deadline import Deadline
from inference.ensemble import Ensemble
from inference.preparation import FloatMap, Preparation
from inference.tta import FLIPS
from inference.weights.fold_file import FoldFile, FoldMetadata
from tests.conftest import ROOT

PASS_S = 0.1
METADATA = FoldMetadata(fold=0, preparation=Preparation(input_scale=1))
FOLD = FoldFile(ROOT / "none.safetensors", "0" * 64, METADATA)


class SlowEngine:
    """Takes its time for every pass, and answers how many it has made."""

    name = "slow"
    parallel_passes = 2
    views_per_pass = 1

    def __init__(self) -> None:
        self.passes = 0

    def run(self, fold: int, views: FloatMap) -> FloatMap:
        time.sleep(PASS_S)
        self.passes += 1
        return np.full(views.shape, 0.25 * (fold + 1), dtype=np.float32)


def slow_ensemble(engine: SlowEngine) -> Ensemble:
    return Ensemble([FOLD, FOLD], engine, tta_ops=tuple(reversed(FLIPS)), threshold=0.3)


def test_a_deadline_counts_from_where_it_is_told() -> None:
    assert Deadline().allows_another_pass()
    assert Deadline(10).allows_another_pass()
    assert not Deadline(10, since=time.monotonic() - 11).allows_another_pass()


def test_a_pass_that_would_end_too_late_is_not_begun() -> None:
    deadline = Deadline(5)
    deadline.took(3)
    deadline.took(1)
    assert deadline.allows_another_pass()
    deadline.took(6)
    assert not deadline.allows_another_pass()


def test_without_time_the_identity_of_every_fold_still_answers() -> None:
    engine = SlowEngine()
    prediction = slow_ensemble(engine).predict(np.zeros((64, 64), np.uint8), Deadline(0))
    assert prediction.views == ("identity",)
    assert engine.passes == 2
    np.testing.assert_allclose(prediction.probability_map, 0.375)  # the mean over both folds


def test_flips_are_seen_while_time_lasts() -> None:
    engine = SlowEngine()
    deadline = Deadline(2.9 * PASS_S)  # two rounds of two passes at a time fit, a third does not
    prediction = slow_ensemble(engine).predict(np.zeros((64, 64), np.uint8), deadline)
    assert prediction.views[0] == "identity"
    assert 1 <= len(prediction.views) < len(FLIPS)
    np.testing.assert_allclose(prediction.probability_map, 0.375)


def test_with_time_every_view_is_seen() -> None:
    prediction = slow_ensemble(SlowEngine()).predict(np.zeros((64, 64), np.uint8), Deadline(60))
    assert set(prediction.views) == set(FLIPS)


def test_an_engine_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SlowEngine()
    monkeypatch.setattr(engine, "run", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        slow_ensemble(engine).predict(np.zeros((64, 64), np.uint8))


def test_after_a_pass_that_failed_no_other_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SlowEngine()
    ensemble = slow_ensemble(engine)
    run = engine.run
    monkeypatch.setattr(engine, "run", lambda fold, views: run(fold, views) if fold else 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ensemble.predict(np.zeros((64, 64), np.uint8))
    time.sleep(3 * PASS_S)
    assert engine.passes < len(FLIPS) - 1
