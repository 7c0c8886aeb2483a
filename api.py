"""The service: `uv run api.py` answers on http://127.0.0.1:9051."""

import asyncio
import math
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any

import anyio
import numpy as np
import numpy.typing as npt
import uvicorn
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from loguru import logger
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException

from inference import __version__
from inference.deadline import Deadline
from inference.disagreement import draw_spread
from inference.engines.cores import usable_cores
from inference.ensemble import Ensemble, Prediction, load_ensemble
from inference.errors import SegmentationError, SettingsError
from inference.settings import Settings, read_settings
from service.body_limit import BodyLimit
from service.logs import RequestLog, configure_logging
from service.messages import (
    PROBLEM_CONTENT,
    AnalyzeResponse,
    Health,
    ModelIdentity,
    Running,
    ServiceInfo,
    TumorPredictRequestDto,
    TumorPredictResponseDto,
)
from service.problems import install_problem_handlers
from service.readiness import State
from utils import Scan, decode_image, decode_request, encode_request

SERVICE = "tumor-segmentation-api"
RETRY_START_S = 2
VIEWS_HEADER = "X-Views-Used"
MEMORY_SCANS = 20
"""Over how many scans, about, the time that one takes is averaged."""
INTERRUPTED = 128 + signal.SIGINT
"""The exit status of a start that Ctrl-C cut off, as shells have it."""
SCAN_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "application/json": {"schema": TumorPredictRequestDto.model_json_schema()},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {"file": {"type": "string", "format": "binary"}},
            }
        },
    },
}
BAD_SCAN: dict[int | str, dict[str, Any]] = {
    413: {"description": "The body is too large", "content": PROBLEM_CONTENT},
    422: {"description": "The request holds no scan that can be segmented", "content": PROBLEM_CONTENT},
    503: {"description": "The folds are not loaded yet, or too many scans wait", "content": PROBLEM_CONTENT},
}


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

    async def encode(self, picture: npt.NDArray[np.uint8]) -> str:
        """Encode a mask or map as base64 PNG."""
        return await anyio.to_thread.run_sync(encode_request, picture, limiter=self.codecs)

    async def encode_uncertainty(self, prediction: Prediction) -> str:
        """Encode the spread of the folds' probabilities as base64 PNG."""
        spread = await anyio.to_thread.run_sync(prediction.uncertainty_map, limiter=self.codecs)
        return await self.encode(draw_spread(spread))

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


async def get_service(request: Request) -> Service:
    """Return the service that answers a request."""
    service: Service = request.app.state.service
    return service


async def admit(service: Annotated[Service, Depends(get_service)]) -> AsyncIterator[None]:
    """Hold a place among the scans that are worked on or wait, for as long as the request lasts."""
    with service.admit():
        yield


async def read_scan(request: Request, service: Annotated[Service, Depends(get_service)]) -> Scan:
    """Decode the scan of a request: a multipart form with `file`, or JSON with `img`.

    What is no form is read as JSON whatever its content type says: `curl -d` names a form that it is not.
    """
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        async with request.form(max_files=1, max_fields=1) as form:
            file = form.get("file")
            if not isinstance(file, UploadFile):
                raise HTTPException(422, "the form has no file named 'file'")
            return await service.decode(await file.read())
    try:
        body = TumorPredictRequestDto.model_validate_json(await request.body())
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults) from None
    return await service.decode(body.img)


ServiceDependency = Annotated[Service, Depends(get_service)]
ScanDependency = Annotated[Scan, Depends(read_scan)]


def create_app(settings: Settings, ensemble: Ensemble | None = None) -> FastAPI:
    """Build the service; without an `ensemble` it loads the folds that the settings name once it runs.

    Until they are loaded and warmed up, `/health/ready` and the routes that need them answer 503.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        start = asyncio.create_task(app.state.service.start())
        yield
        start.cancel()

    app = FastAPI(
        title="Tumor Segmentation API",
        version=__version__,
        summary="Outlines tumours on whole-body MIP-PET scans",
        lifespan=lifespan,
    )
    app.state.service = Service(settings, ensemble)
    app.add_middleware(BodyLimit, max_bytes=int(settings.max_body_mb * 1e6))
    app.add_middleware(RequestLog)
    install_problem_handlers(app)
    _add_routes(app)
    return app


def _add_routes(app: FastAPI) -> None:
    app.get("/", summary="Say that the service runs")(root)
    app.get("/api", summary="Say what is running")(info)
    app.get("/health/live", summary="Say that the process answers")(live)
    app.get(
        "/health/ready", summary="Say whether scans can be segmented", responses={503: {"model": Health}}
    )(ready)
    scan_body = {"requestBody": SCAN_BODY}
    for path, summary, route in (
        ("/predict", "Segment a scan", predict),
        ("/analyze", "Segment a scan and say what was found", analyze),
    ):
        app.post(
            path,
            summary=summary,
            responses=BAD_SCAN,
            openapi_extra=scan_body,
            dependencies=[Depends(admit)],
        )(route)


async def root() -> Running:
    """Answer that the service runs."""
    return Running(message="The tumour segmentation service is running. See /docs.")


async def info(service: ServiceDependency) -> ServiceInfo:
    """Answer what is running here."""
    model = service.ensemble.identity() if service.ensemble else None
    return ServiceInfo(
        service=SERVICE,
        version=__version__,
        uptime_s=round(time.monotonic() - service.started, 1),
        state=service.state,
        model=ModelIdentity.model_validate(model) if model else None,
    )


async def live() -> Health:
    """Answer that the process is alive."""
    return Health(state="live")


async def ready(service: ServiceDependency) -> JSONResponse:
    """Answer 200 once the folds are loaded and warmed up, 503 before."""
    return JSONResponse({"state": service.state}, 200 if service.state is State.READY else 503)


async def predict(
    scan: ScanDependency, request: Request, response: Response, service: ServiceDependency
) -> TumorPredictResponseDto:
    """Answer the mask of a scan; the header `X-Views-Used` says which views it is the mean of."""
    prediction = await service.segment(scan, _deadline(request, service))
    _note(prediction, request, response)
    return TumorPredictResponseDto(img=await service.encode(prediction.mask))


async def analyze(
    scan: ScanDependency,
    request: Request,
    response: Response,
    service: ServiceDependency,
    uncertainty: Annotated[bool, Query(description="Whether to answer the map of the folds' spread")] = False,
) -> AnalyzeResponse:
    """Answer the mask of a scan, its lesions, how probable tumour is at all, and how far the folds agree."""
    started = time.perf_counter()
    prediction = await service.segment(scan, _deadline(request, service))
    segmented = time.perf_counter()
    img = await service.encode(prediction.mask)
    lesions = await anyio.to_thread.run_sync(prediction.lesions)
    disagreement = await anyio.to_thread.run_sync(prediction.disagreement)
    uncertainty_map = await service.encode_uncertainty(prediction) if uncertainty else None
    _note(prediction, request, response)
    assert service.ensemble is not None
    timings = prediction.timings_ms | {
        "wait": 1000 * (segmented - started) - sum(prediction.timings_ms.values()),
        "encode": 1000 * (time.perf_counter() - segmented),
    }
    return AnalyzeResponse(
        img=img,
        tumor_detected=prediction.tumor_detected,
        tumor_probability=round(prediction.tumor_probability, 4),
        tumor_area_px=prediction.tumor_area_px,
        tumor_fraction=prediction.tumor_area_px / prediction.mask[..., 0].size,
        lesions=lesions,
        disagreement=None if disagreement is None else round(disagreement, 4),
        uncertainty_map=uncertainty_map,
        views=list(prediction.views),
        model=ModelIdentity.model_validate(service.ensemble.identity()),
        timings_ms={name: round(value, 1) for name, value in timings.items()},
    )


def _deadline(request: Request, service: Service) -> Deadline:
    return Deadline(service.settings.deadline_s, since=request.state.arrived)


def _note(prediction: Prediction, request: Request, response: Response) -> None:
    """Say in the answer's header and in the log what was found, and in which views."""
    views = ",".join(prediction.views)
    response.headers[VIEWS_HEADER] = views
    height, width, _ = prediction.mask.shape
    request.state.findings = (
        f"scan {width}x{height} px, tumour {prediction.tumor_area_px} px, "
        f"probability {prediction.tumor_probability:.2f}, infer {prediction.timings_ms['infer']:.0f} ms, "
        f"views {views}"
    )


class Interruption:
    """Remembers Ctrl-C: a library that is interrupted while it is imported may swallow the exception."""

    def __init__(self) -> None:
        self.seen = False
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self.seen = True
        raise KeyboardInterrupt


def main() -> int:
    """Start the service from the environment; a broken set-up ends here, in one sentence."""
    interrupted = Interruption()
    try:
        settings = read_settings()
        configure_logging(settings)
        listener = bind(settings)
        ensemble = load_ensemble(settings)
    except SegmentationError as error:
        print(f"The service cannot start: {str(error).rstrip('.')}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return INTERRUPTED
    if interrupted.seen:
        return INTERRUPTED
    app = create_app(settings, ensemble)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    app.state.service.on_failure = lambda: setattr(server, "should_exit", True)
    with suppress(KeyboardInterrupt):  # uvicorn raises it again after an orderly end
        server.run(sockets=[listener])
    return 1 if app.state.service.state is State.FAILED else 0


def bind(settings: Settings) -> socket.socket:
    """Take the service's port before anything slow is done; raises `SettingsError` where it cannot be had."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        listener.listen()
    except OSError as error:
        listener.close()
        reason = error.strerror or str(error)
        raise SettingsError(
            f"{settings.host}:{settings.port} cannot be listened on ({reason}): set PORT or HOST to another"
        ) from None
    logger.info("starting on http://{}:{}", *listener.getsockname()[:2])
    return listener


if __name__ == "__main__":
    sys.exit(main())
