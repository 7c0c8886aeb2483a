"""How the service asks an ensemble that Ray Serve runs."""

import asyncio
from typing import Any

import numpy as np
from loguru import logger
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import BackPressureError, RayServeException

from deploy.ray_ensemble import Description
from inference.deadline import Deadline
from inference.ensemble import WARM_UP_SIZE, Ensemble, Prediction
from inference.settings import Settings
from service.problems import Refusal
from utils import Scan

RETRY_S = 2
"""What a client is told to wait that found the queue full, or no replica."""

PAUSE_S = 0.2
"""Before a scan is sent to another replica than the one that was lost."""


class RayProvider:
    """Asks the replicas of a deployment through its handle.

    A scan whose replica was lost is sent to another: it costs time, and nothing else. Where the client
    hangs up, the request is cancelled, and with it what still waits for a replica.
    """

    def __init__(self, ensemble: Any, settings: Settings) -> None:
        self._ensemble = ensemble
        self._scans_at_once = settings.max_queue
        self._patience_s = settings.engine_timeout_s / 2

    async def load(self, settings: Settings) -> Ensemble:
        """Ask the deployment what it is, as soon as it has a replica."""
        description: Description = await self._ensemble.describe.remote()
        return description.without_networks(self._scans_at_once)

    async def warm_up(self, ensemble: Ensemble) -> None:
        """Have a replica segment a blank scan; a full queue is a sign of life too."""
        try:
            await self.predict(ensemble, np.full(WARM_UP_SIZE, 255, dtype=np.uint8), Deadline())
        except Refusal as refusal:
            if refusal.reason != "queue_full":
                raise

    async def predict(self, ensemble: Ensemble, scan: Scan, deadline: Deadline) -> Prediction:
        """Have a replica segment a scan; raises `Refusal` where the queue is full or no replica answers."""
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._ask(scan, deadline)
        except TimeoutError:
            detail = f"no replica has answered within {self._patience_s:g} s: try again in a moment"
            raise Refusal(503, detail, "no_replica", retry_after_s=RETRY_S) from None

    async def _ask(self, scan: Scan, deadline: Deadline) -> Prediction:
        while True:
            try:
                prediction: Prediction = await self._ensemble.predict.remote(scan, deadline.left_s())
                return prediction
            except BackPressureError as error:
                detail = f"{error.args[0]} scans are waiting for a replica already: try again in a moment"
                raise Refusal(503, detail, "queue_full", retry_after_s=RETRY_S) from None
            except RayTaskError as error:  # of the replica's own code: another would fail alike
                raise error.cause from None
            except (RayError, RayServeException) as error:
                logger.warning("a replica was lost, its scan is sent to another: {}", type(error).__name__)
                await asyncio.sleep(PAUSE_S)
