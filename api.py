"""The service: `uv run api.py` answers on http://127.0.0.1:9051."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import anyio
import uvicorn
from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import JSONResponse

from inference import __version__
from inference.deadline import Deadline
from inference.ensemble import Ensemble, Prediction, load_ensemble
from inference.errors import SegmentationError
from inference.settings import Settings, read_settings
from service.body_limit import BodyLimit
from service.dependencies import ScanDependency, ServiceDependency, admit
from service.interruption import INTERRUPTED, Interruption
from service.listener import bind
from service.logs import RequestLog, configure_logging
from service.messages import (
    AnalyzeResponse,
    Health,
    ModelIdentity,
    Running,
    ServiceInfo,
    TumorPredictResponseDto,
)
from service.openapi import BAD_SCAN, SCAN_BODY
from service.problems import install_problem_handlers
from service.readiness import State
from service.segmentation import Service

SERVICE = "tumor-segmentation-api"
VIEWS_HEADER = "X-Views-Used"


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
    return TumorPredictResponseDto(img=await service.encode(prediction))


async def analyze(
    scan: ScanDependency, request: Request, response: Response, service: ServiceDependency
) -> AnalyzeResponse:
    """Answer the mask of a scan, its lesions, and how probable it is that there is tumour at all."""
    started = time.perf_counter()
    prediction = await service.segment(scan, _deadline(request, service))
    segmented = time.perf_counter()
    img = await service.encode(prediction)
    lesions = await anyio.to_thread.run_sync(prediction.lesions)
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


if __name__ == "__main__":
    sys.exit(main())


if __name__ == "__main__":
    sys.exit(main())
