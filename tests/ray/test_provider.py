"""What the service makes of all that can become of a scan that is sent to a replica."""

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from inference.deadline import Deadline
from inference.errors import ScanError
from service.problems import Refusal
from tests.conftest import plain_settings

pytest.importorskip("ray")
from ray.exceptions import ActorDiedError, RayTaskError
from ray.serve.exceptions import BackPressureError

from deploy.ray_provider import RayProvider

SCAN = np.full((40, 40), 255, dtype=np.uint8)


class Replicas:
    """Stands in for a deployment's handle: each call ends as it was told beforehand."""

    def __init__(self, *ends: object) -> None:
        self.ends = list(ends)
        self.predict = SimpleNamespace(remote=self._call)

    async def _call(self, scan: object, left_s: float) -> object:
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if isinstance(end, Exception):
            raise end
        return end


def ask(*ends: object, patience_s: float = 60) -> Any:
    provider = RayProvider(Replicas(*ends), plain_settings(engine_timeout_s=2 * patience_s))
    nobody: Any = None
    return asyncio.run(provider.predict(nobody, SCAN, Deadline(8)))


def test_a_lost_replica_costs_nothing_but_time() -> None:
    assert ask(ActorDiedError(), ActorDiedError(), "found") == "found"


def test_a_full_queue_says_when_to_come_back() -> None:
    with pytest.raises(Refusal, match="6 scans are waiting") as refused:
        ask(BackPressureError(num_queued_requests=6, max_queued_requests=6))
    assert refused.value.status_code == 503
    assert refused.value.reason == "queue_full"
    assert refused.value.headers is not None
    assert int(refused.value.headers["Retry-After"]) >= 1


def test_no_replica_at_all_says_so_and_does_not_hang() -> None:
    with pytest.raises(Refusal, match="no replica has answered") as refused:
        ask(ActorDiedError(), patience_s=0.5)
    assert refused.value.reason == "no_replica"


def test_what_a_scan_is_refused_for_is_said_as_the_replica_said_it() -> None:
    with pytest.raises(ScanError, match=r"^the scan is odd$"):
        ask(RayTaskError("predict", "a traceback", ScanError("the scan is odd")).as_instanceof_cause())


def test_a_full_queue_is_a_sign_of_life() -> None:
    provider = RayProvider(Replicas(BackPressureError(6, 6)), plain_settings())
    nobody: Any = None
    asyncio.run(provider.warm_up(nobody))
    lost = RayProvider(Replicas(ActorDiedError()), plain_settings(engine_timeout_s=0.5))
    with pytest.raises(Refusal):
        asyncio.run(lost.warm_up(nobody))
