"""What the routes share: the one ensemble of this process, and the scans that it works on."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
from loguru import logger
from starlette.exceptions import HTTPException

from inference.deadline import Deadline
from inference.engines.cores import usable_cores
from inference.ensemble import Ensemble, Prediction, load_ensemble
from inference.settings import Settings
from service.readiness import State
from utils import Scan, decode_image, decode_request, encode_request

RETRY_START_S = 2
MEMORY_SCANS = 20
"""Over how many scans, about, the time that one takes is averaged."""


@dataclass
class Service:
    """What the routes share: the one ensemble of this process, and how many scans may be where."""

    settings: Settings
    ensemble: Ensemble | None = None
    state: State = State.STARTING
    started: float = field(default_factory=time.monotonic)
    segmenting: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(1))
    codecs: anyio.CapacityLimiter = field(default_factory=lambda: anyio.CapacityLimiter(usable_cores()))
    admitted: int = 0
    seconds_a_scan: float = 1.0
    on_failure: Callable[[], None] = lambda: None

    async def start(self) -> None:
        """Load the folds where that has not been done, and warm them up, off the event loop."""
        try:
            if self.ensemble is None:
                self.ensemble = await anyio.to_thread.run_sync(load_ensemble, self.settings)
            await anyio.to_thread.run_sync(self.ensemble.warm_up)
        except Exception as error:
            self.state = State.FAILED
            logger.error("the service cannot start: {}", error)
            self.on_failure()
            return
        self.segmenting.total_tokens = self.ensemble.engine.parallel_passes + 1
        self.state = State.READY
        logger.info("ready: {}", self.ensemble.identity())

    async def decode(self, content: str | bytes) -> Scan:
        """Decode a scan from base64 text or from a file's bytes, a few at a time."""
        if isinstance(content, str):
            return await anyio.to_thread.run_sync(decode_request, content, limiter=self.codecs)
        return await anyio.to_thread.run_sync(decode_image, content, limiter=self.codecs)

    async def encode(self, prediction: Prediction) -> str:
        """Encode a mask as base64 PNG."""
        return await anyio.to_thread.run_sync(encode_request, prediction.mask, limiter=self.codecs)

    @contextmanager
    def admit(self) -> Iterator[None]:
        """Count a scan in, and out again; refuse it with 503 where there is no ensemble or no room for it."""
        if self.state is not State.READY:
            detail = f"the folds are not loaded: the service is {self.state}"
            raise HTTPException(503, detail, _retry_after(RETRY_START_S))
        if self.admitted >= self.settings.max_queue:
            raise HTTPException(
                503,
                f"{self.admitted} scans are waiting already, and no more may: try again in a moment",
                _retry_after(self.admitted * self.seconds_a_scan),
            )
        self.admitted += 1
        try:
            yield
        finally:
            self.admitted -= 1

    async def segment(self, scan: Scan, deadline: Deadline) -> Prediction:
        """Run the ensemble on a scan, without blocking the event loop, in the order of arrival."""
        assert self.ensemble is not None
        async with self.segmenting:
            started = time.monotonic()
            prediction = await anyio.to_thread.run_sync(self.ensemble.predict, scan, deadline)
        self.seconds_a_scan += (time.monotonic() - started - self.seconds_a_scan) / MEMORY_SCANS
        return prediction


def _retry_after(seconds: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(seconds)))}
