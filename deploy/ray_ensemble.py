"""The ensemble as a Ray Serve deployment: a replica is one ensemble, on a few cores or a share of a card."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray
from loguru import logger
from ray import serve

from inference.deadline import Deadline
from inference.ensemble import Ensemble, Prediction, load_ensemble
from inference.findings import Classifier
from inference.preparation import FloatMap
from inference.settings import read_settings
from inference.weights.fold_file import FoldFile
from service.operation.logs import configure_logging
from utils import Scan

Found = TypeVar("Found")

BATCH_PIXELS = 2_000_000
"""Of scans that a card works on at once: ten of the usual size."""

BATCH_WAIT_S = 0.01


@dataclass(frozen=True)
class Description:
    """What an ensemble is, without the networks that make it heavy: so it is sent to whoever asks it."""

    folds: tuple[FoldFile, ...]
    engine: str
    tta_ops: tuple[str, ...]
    threshold: float
    classifier: Classifier | None
    blank_below: float

    def without_networks(self, scans_at_once: int) -> Ensemble:
        """Return the ensemble as the service describes and counts it; it computes nothing."""
        return Ensemble(
            self.folds,
            _RemoteEngine(self.engine, scans_at_once),
            tta_ops=self.tta_ops,
            threshold=self.threshold,
            classifier=self.classifier,
            blank_below=self.blank_below,
        )


@dataclass
class _RemoteEngine:
    """An engine of other processes, by name."""

    name: str
    parallel_passes: int
    views_per_pass: int = 1

    def run(self, fold: int, views: FloatMap) -> FloatMap:
        """Raise: whoever comes here has not asked a replica."""
        raise RuntimeError(f"{self.name} runs in other processes: ask the deployment")


@dataclass(frozen=True)
class _Waiting:
    """A scan that waits for its batch, and when its answer is due."""

    scan: Scan
    deadline: Deadline


class EnsembleReplica:
    """Loads the folds that the environment names, and segments scans (H, W) or (H, W, 3) uint8.

    On a card, scans that wait at the same time are computed in one batch, as many as `batch_pixels` allows
    (`user_config`); on a CPU each by itself, which is faster there.
    """

    def __init__(self) -> None:
        settings = read_settings()
        configure_logging(settings, to_file=False)
        _keep_to_own_cores()
        self.ensemble = load_ensemble(settings)
        self.ensemble.warm_up()
        self.takes_batches = self.ensemble.engine.views_per_pass > 1
        self.longest_s = settings.engine_timeout_s
        self.batch_pixels = BATCH_PIXELS
        self._began: dict[int, float] = {}
        self._is_doubted = False
        self._batched = serve.batch(
            max_batch_size=self.batch_pixels, batch_wait_timeout_s=BATCH_WAIT_S, batch_size_fn=_pixels
        )(self._predict_batch)
        logger.info("a replica is ready: {}", self.ensemble.identity())

    def reconfigure(self, user_config: dict[str, Any]) -> None:
        """Take over what `user_config` says of batches: `batch_pixels` and `batch_wait_s`."""
        self.batch_pixels = int(user_config.get("batch_pixels", BATCH_PIXELS))
        self._batched.set_max_batch_size(self.batch_pixels)
        self._batched.set_batch_wait_timeout_s(float(user_config.get("batch_wait_s", BATCH_WAIT_S)))

    def describe(self) -> Description:
        """Return what answers here."""
        of = self.ensemble
        return Description(of.folds, of.engine.name, of.tta_ops, of.threshold, of.classifier, of.blank_below)

    async def predict(self, scan: Scan, left_s: float) -> Prediction:
        """Segment a scan whose answer is due in `left_s` seconds."""
        deadline = Deadline(left_s)
        waiting = _Waiting(scan, deadline)
        if self.takes_batches and _pixels([waiting]) <= self.batch_pixels:
            prediction: Prediction = await self._batched(waiting)
            return prediction
        return await asyncio.to_thread(self._watched, self.ensemble.predict, scan, deadline)

    async def check_health(self) -> None:
        """Raise, so that this replica is replaced, where its engine hangs, or fails at a blank scan too."""
        longest_s = time.monotonic() - min(list(self._began.values()), default=time.monotonic())
        if longest_s > self.longest_s:
            raise RuntimeError(f"the engine hangs: no answer in {longest_s:.0f} s")
        if self._is_doubted:
            await asyncio.to_thread(self.ensemble.warm_up)
            self._is_doubted = False

    async def _predict_batch(self, batch: Sequence[_Waiting]) -> list[Prediction]:
        scans = [waiting.scan for waiting in batch]
        first_due = min((waiting.deadline for waiting in batch), key=lambda deadline: deadline.due)
        return await asyncio.to_thread(self._watched, self.ensemble.predict_batch, scans, first_due)

    def _watched(self, predict: Callable[..., Found], *arguments: object) -> Found:
        """Predict, note since when, and doubt the engine where it fails.

        In the thread that predicts: a request that is cancelled meanwhile leaves an engine that hangs.
        """
        self._began[threading.get_ident()] = time.monotonic()
        try:
            return predict(*arguments)
        except Exception:
            self._is_doubted = True
            raise
        finally:
            del self._began[threading.get_ident()]


def _pixels(batch: Sequence[_Waiting]) -> int:
    return sum(waiting.scan.shape[0] * waiting.scan.shape[1] for waiting in batch)


def _keep_to_own_cores() -> None:
    """Keep to as many of the node's cores as the replica was given, each replica to others.

    Ray counts cores and keeps nobody to them, and the engine takes all that it may run on.
    """
    own = int(ray.get_runtime_context().get_assigned_resources().get("CPU", 0))
    if not own or not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))
    first = serve.get_replica_context().rank.local_rank * own
    mine = {cores[(first + further) % len(cores)] for further in range(own)}
    for thread in Path("/proc/self/task").iterdir():
        os.sched_setaffinity(int(thread.name), mine)
