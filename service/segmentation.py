"""What the routes share: the one ensemble, and the scans that it works on."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar

import anyio
from anyio.to_thread import run_sync
from fastapi import Request
from loguru import logger

from inference.deadline import Deadline
from inference.ensemble import Ensemble, Prediction
from inference.errors import ScanError
from inference.settings import Settings
from inference.volumes.volume_scan import VolumeScan
from service.concurrency import wait_for_turn
from service.limits.admission import Admission, Kind
from service.operation.metrics import Metrics
from service.operation.readiness import State
from service.problems import Refusal
from service.provider import InProcessProvider, Provider
from service.scan_content import Content, ScanContent
from utils import Scan, encode_request

RETRY_START_S = 2
LONGEST_PAUSE_S = 30
"""Between two self-tests of an engine that has failed."""


Encoded = TypeVar("Encoded")
"""What a route answers: `encode_mask` makes base64 PNG."""


@dataclass(frozen=True)
class Segmented(Generic[Encoded]):
    """What is sent of a scan, what it was made of, and how long each stage took."""

    encoded: Encoded
    prediction: Prediction
    stages_s: dict[str, float]

    def summary(self) -> str:
        """Return what was found, and in which views, as the log has it."""
        prediction = self.prediction
        height, width, _ = prediction.mask.shape
        return (
            f"scan {width}x{height} px, tumour {prediction.tumor_area_px} px, "
            f"probability {prediction.tumor_probability:.2f}, infer {prediction.timings_ms['infer']:.0f} ms, "
            f"views {','.join(prediction.views)}"
        )


Encode = Callable[[Prediction, VolumeScan | None], Awaitable[Encoded]]
"""How a route makes an answer of a prediction, and of the volume that its scan was made of."""


async def encode_mask(prediction: Prediction, _: VolumeScan | None) -> str:
    """Return the mask as base64 PNG."""
    return await run_sync(encode_request, prediction.mask)


class Service:
    """The ensemble, whether it can be used, and who waits for it."""

    def __init__(
        self, settings: Settings, ensemble: Ensemble | None, provider: Provider | None = None
    ) -> None:
        self.settings = settings
        self.ensemble = ensemble
        self.provider = provider or InProcessProvider()
        self.state = State.STARTING
        self.address = ""
        self.started = time.monotonic()
        self.admission = Admission(max_queue=settings.max_queue, deadline_s=settings.deadline_s)
        self.turns = anyio.CapacityLimiter(1)
        self.metrics = Metrics()
        self.metrics.watch(waiting=lambda: self.admission.inside, ready=lambda: self.state is State.READY)
        self.on_failure: Callable[[], None] = lambda: None
        self.engine_hangs = False
        self._self_test: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load the folds where that has not been done, and warm them up, off the event loop."""
        try:
            if self.ensemble is None:
                self.ensemble = await self.provider.load(self.settings)
            began = time.monotonic()
            await self.provider.warm_up(self.ensemble)
        except Exception as error:
            self.state = State.FAILED
            logger.error("the service cannot start: {}", error)
            self.on_failure()
            return
        self.admission.expect(time.monotonic() - began)
        # one scan is computed, one has its passes waiting, one is decoded or encoded meanwhile
        self.turns.total_tokens = self.ensemble.engine.parallel_passes + 2
        self.metrics.model(self.ensemble)
        if self.state is State.STARTING:
            self.state = State.READY
        logger.info("ready{}", self._description(self.ensemble))

    def _description(self, ensemble: Ensemble) -> str:
        """Return where the service answers, with what, and after how long, as the log has it."""
        where = f" on {self.address}" if self.address else ""
        folds, views = ", ".join(fold.name for fold in ensemble.folds), ", ".join(ensemble.tta_ops)
        after_s = time.monotonic() - self.started
        return f"{where} after {after_s:.1f} s: {folds} in {views} by {ensemble.engine.name}"

    def drain(self) -> None:
        """Take nothing new on; what has been taken on is finished."""
        self.state = State.DRAINING

    def check(self) -> None:
        """Raise `Refusal` where a scan that came now would not be segmented, or not in time."""
        if self.state is State.DRAINING:
            detail = "the service is ending: try again in a moment"
            raise Refusal(503, detail, "draining", retry_after_s=RETRY_START_S)
        if self.state is not State.READY:
            detail = f"no scan can be segmented: the service is {self.state}"
            raise Refusal(503, detail, "not_ready", retry_after_s=RETRY_START_S)
        self.admission.check()

    async def segment(
        self, content: Content, request: Request, encode: Encode[Encoded]
    ) -> Segmented[Encoded]:
        """Decode a scan, run the ensemble on it and encode what it found, in the order of arrival.

        All work on a scan belongs into `encode`: only until that is done is the scan one of those that
        the queue counts, and that an ending service waits for.

        Raises `Refusal` where there is no room, no time or no ensemble for it, `ScanError` where it
        is no scan, and `ClientDisconnect` where its sender hung up before its turn came.
        """
        deadline = Deadline(self.settings.deadline_s, since=request.state.arrived)
        stages_s: dict[str, float] = {}
        self.check()
        kind: Kind = "scan" if isinstance(content, ScanContent) else "volume"
        with self.admission.place(kind):
            with _timed(stages_s, "queue"):
                await wait_for_turn(self.turns, request)
            try:
                began = time.monotonic()
                with _timed(stages_s, "decode"):
                    decoded: Scan | VolumeScan = await run_sync(content.decode)
                volume = decoded if isinstance(decoded, VolumeScan) else None
                scan = decoded.grey if isinstance(decoded, VolumeScan) else decoded
                prediction = await self._predict(scan, deadline)
                stages_s |= {stage: ms / 1000 for stage, ms in prediction.timings_ms.items()}
                with _timed(stages_s, "encode"):
                    encoded = await encode(prediction, volume)
                self.admission.answered(began, kind)
            finally:
                self.turns.release()
        self.metrics.segmented(prediction, stages_s)
        return Segmented(encoded, prediction, stages_s)

    async def _predict(self, scan: Scan, deadline: Deadline) -> Prediction:
        assert self.ensemble is not None
        if self.state is State.FAILED:
            self.check()
        timeout_s = self.settings.engine_timeout_s
        try:
            with anyio.fail_after(timeout_s):
                return await self.provider.predict(self.ensemble, scan, deadline)
        except (ScanError, Refusal):
            raise
        except TimeoutError:
            self.engine_hangs = True
            if self.state is State.READY:
                self.state = State.FAILED
            logger.error(
                "the engine hangs: no answer in {:g} s, no scan is taken on until it has one", timeout_s
            )
            self._doubt_engine()
            detail = f"the engine has not answered within {timeout_s:g} s: try again later, or elsewhere"
            raise Refusal(503, detail, "engine_hangs", retry_after_s=LONGEST_PAUSE_S) from None
        except Exception:
            self._doubt_engine()
            raise

    def _doubt_engine(self) -> None:
        """Find out whether it was the scan that the engine failed at, or the engine itself."""
        if self._self_test is None or self._self_test.done():
            self._self_test = asyncio.create_task(self._test_engine())

    async def _test_engine(self) -> None:
        """Segment a blank scan; while that fails, no scan is taken on, and it is tried again and again."""
        assert self.ensemble is not None
        pause_s = 1
        while True:
            try:
                await self.provider.warm_up(self.ensemble)
            except Exception as error:
                if self.state is State.READY:
                    self.state = State.FAILED
                logger.error("the engine failed its self-test, the next is in {} s: {}", pause_s, error)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            else:
                self.engine_hangs = False
                if self.state is State.FAILED:
                    self.state = State.READY
                logger.info("the engine passed its self-test: the service is {}", self.state)
                return


@contextmanager
def _timed(stages_s: dict[str, float], stage: str) -> Iterator[None]:
    began = time.perf_counter()
    yield
    stages_s[stage] = time.perf_counter() - began
