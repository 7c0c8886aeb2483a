"""A replica without a cluster: what is computed together, and when it says that it is not well."""

import asyncio
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from inference.ensemble import Ensemble
from inference.preparation import FloatMap, Preparation
from inference.weights.fold_file import FoldFile, FoldMetadata
from tests.conftest import plain_settings
from training.phantoms.drawing import make_phantom

pytest.importorskip("ray")
from deploy import ray_ensemble
from deploy.ray_ensemble import EnsembleReplica

SIZE = (120, 96)


class Card:
    """An engine that wants many views at a time, as those of cards do."""

    name = "card"
    parallel_passes = 1
    views_per_pass = 4

    def __init__(self) -> None:
        self.passes: list[int] = []
        self.is_broken = False
        self.go = threading.Event()
        self.go.set()

    def run(self, fold: int, views: FloatMap) -> FloatMap:
        if self.is_broken:
            raise RuntimeError("the card has gone")
        assert self.go.wait(60)
        self.passes.append(len(views))
        return np.where(views > 0.8, np.float32(0.9), np.float32(0.1))


@pytest.fixture
def card() -> Card:
    return Card()


@pytest.fixture
def replica(card: Card, monkeypatch: pytest.MonkeyPatch) -> EnsembleReplica:
    fold = FoldFile(Path("none"), "0" * 64, FoldMetadata(fold=0, preparation=Preparation(input_scale=1)))
    ensemble = Ensemble([fold], card, tta_ops=("identity", "hflip"), threshold=0.5)
    monkeypatch.setattr(ray_ensemble, "load_ensemble", lambda _: ensemble)
    monkeypatch.setattr(ray_ensemble, "read_settings", plain_settings)
    monkeypatch.setattr(ray_ensemble, "configure_logging", lambda _, to_file: None)
    monkeypatch.setattr(ray_ensemble, "_keep_to_own_cores", lambda: None)
    deployment = SimpleNamespace(_deployment_config=SimpleNamespace(max_ongoing_requests=16))
    monkeypatch.setattr("ray.serve.get_replica_context", lambda: deployment)
    made = EnsembleReplica()
    card.passes.clear()
    return made


def test_scans_that_wait_are_computed_together_up_to_so_many_pixels(
    replica: EnsembleReplica, card: Card
) -> None:
    scans = [make_phantom(seed, size=SIZE).grey for seed in range(6)]
    large = make_phantom(9, size=(300, 200)).grey
    replica.reconfigure({"batch_pixels": 4 * SIZE[0] * SIZE[1], "batch_wait_s": 0.2})

    async def ask() -> list[object]:
        return await asyncio.gather(*(replica.predict(scan, 60) for scan in [*scans, large]))

    predictions = asyncio.run(ask())
    together = [views for views in card.passes if views > 2]
    assert max(together) <= 4 * 2
    assert sum(card.passes) == 7 * 2
    for scan, prediction in zip([*scans, large], predictions, strict=True):
        assert np.array_equal(prediction.mask, replica.ensemble.predict(scan).mask)  # type: ignore[attr-defined]


def test_a_replica_that_hangs_or_fails_is_not_well(replica: EnsembleReplica, card: Card) -> None:
    asyncio.run(replica.check_health())
    replica.longest_s = 0.05
    replica.takes_batches = False
    card.go.clear()

    async def ask_and_give_up() -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(replica.predict(make_phantom(0, size=SIZE).grey, 60), 0.2)
        try:
            with pytest.raises(RuntimeError, match="hangs"):
                await replica.check_health()
        finally:
            card.go.set()

    asyncio.run(ask_and_give_up())
    asyncio.run(replica.check_health())

    card.is_broken = True
    with pytest.raises(RuntimeError, match="gone"):
        asyncio.run(replica.predict(make_phantom(0, size=SIZE).grey, 60))
    with pytest.raises(RuntimeError, match="gone"):
        asyncio.run(replica.check_health())
    card.is_broken = False
    asyncio.run(replica.check_health())
    asyncio.run(replica.check_health())


def test_what_a_replica_is_can_be_told_without_its_networks(replica: EnsembleReplica) -> None:
    described = replica.describe().without_networks(64)
    assert described.identity() == replica.ensemble.identity()
    with pytest.raises(RuntimeError, match="other processes"):
        described.predict(make_phantom(0, size=SIZE).grey)
