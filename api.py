"""The service: `uv run api.py` answers on http://127.0.0.1:9051."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
from fastapi import Depends, FastAPI, Query, Request, Response
from fastapi.responses import RedirectResponse
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi_offline import FastAPIOffline
from loguru import logger

from inference.disagreement import draw_spread
from inference.ensemble import Ensemble, Prediction, load_ensemble
from inference.errors import SegmentationError
from inference.report.description import describe
from inference.settings import Settings, misspelt_settings, read_settings
from inference.version import __version__
from inference.volumes.volume_scan import VolumeScan
from service.dependencies import ContentDependency, ServiceDependency, VolumeDependency
from service.messages import (
    AnalyzeResponse,
    ModelIdentity,
    Running,
    ServiceInfo,
    TumorPredictResponseDto,
)
from service.middleware import DOCS, VIEWS_HEADER, install_middleware
from service.openapi import BAD_SCAN, SCAN_BODY, UNAUTHORIZED
from service.operation.listener import bind
from service.operation.logs import configure_logging
from service.operation.readiness import State
from service.operation.signals import StartSignals
from service.probes import add_probes
from service.problems import install_problem_handlers
from service.provider import Provider
from service.segmentation import Segmented, Service, encode_mask
from service.server import Server
from utils import encode_request

SERVICE = "tumor-segmentation-api"


def create_app(
    settings: Settings, ensemble: Ensemble | None = None, provider: Provider | None = None
) -> FastAPI:
    """Build the service; without an `ensemble` it loads the folds that the settings name once it runs.

    They run in this process, unless a `provider` has them elsewhere. Until they are loaded and warmed up,
    `/health/ready` and the routes that need them answer 503.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        start = asyncio.create_task(app.state.service.start())
        yield
        start.cancel()

    app = FastAPIOffline(
        docs_url=DOCS,
        redoc_url=None,
        title="Tumor Segmentation API",
        version=__version__,
        summary="Outlines tumours on whole-body MIP-PET scans",
        lifespan=lifespan,
    )
    app.state.service = Service(settings, ensemble, provider)
    install_problem_handlers(app)
    _add_routes(app, guarded=bool(settings.api_key))
    if settings.ui:
        from service.page.routes import add_page

        add_page(app, app.state.service)
    install_middleware(app, settings, app.state.service.metrics)
    return app


def _add_routes(app: FastAPI, *, guarded: bool) -> None:
    keys = [Depends(APIKeyHeader(name="X-API-Key", auto_error=False)), Depends(HTTPBearer(auto_error=False))]
    common: dict[str, Any] = {"dependencies": keys, "responses": UNAUTHORIZED} if guarded else {}
    to_page: dict[int | str, dict[str, Any]] = {307: {"description": "To the page, where a browser asks"}}
    app.get("/", summary="Say that the service runs", response_model=Running, responses=to_page)(root)
    app.head("/", include_in_schema=False, response_model=Running)(root)
    app.get("/api", summary="Say what is running", **common)(info)
    add_probes(app, common)
    for path, summary, route in (
        ("/predict", "Segment a scan", predict),
        ("/analyze", "Segment a scan and say what was found", analyze),
    ):
        responses = common.get("responses", {}) | BAD_SCAN
        body = {"requestBody": SCAN_BODY}
        app.post(path, summary=summary, **common | {"responses": responses}, openapi_extra=body)(route)


async def root(
    request: Request, response: Response, service: ServiceDependency
) -> Running | RedirectResponse:
    """Answer that the service runs; a browser is sent to the page."""
    response.headers["Vary"] = "Accept"
    if service.settings.ui and "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("ui", headers={"Vary": "Accept"})
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


async def predict(
    content: ContentDependency, request: Request, response: Response, service: ServiceDependency
) -> TumorPredictResponseDto:
    """Answer the mask of a scan; the header `X-Views-Used` says which views it is the mean of."""
    segmented = await service.segment(content, request, encode_mask)
    _note(segmented, request, response)
    return TumorPredictResponseDto(img=segmented.encoded)


async def analyze(
    content: VolumeDependency,
    request: Request,
    response: Response,
    service: ServiceDependency,
    uncertainty: Annotated[bool, Query(description="Whether to answer the map of the folds' spread")] = False,
) -> AnalyzeResponse:
    """Answer the mask of a scan, its lesions, how probable tumour is at all, and how far the folds agree.

    A form's `file` may be a PET volume too: `.nii`, `.nii.gz`, `.npy`, or a DICOM series as `.zip` or as
    several files, one a slice. The mask is that of its projection, and `measures` says what was found in
    mm, mm² and SUV.
    """

    async def encode(prediction: Prediction, volume: VolumeScan | None) -> dict[str, Any]:
        found = await anyio.to_thread.run_sync(describe, prediction, volume)
        spread = await anyio.to_thread.run_sync(_draw_uncertainty, prediction) if uncertainty else None
        return dict(found) | {"img": await encode_mask(prediction, volume), "uncertainty_map": spread}

    segmented = await service.segment(content, request, encode)
    _note(segmented, request, response)
    assert service.ensemble is not None
    return AnalyzeResponse(
        **segmented.encoded,
        model=ModelIdentity.model_validate(service.ensemble.identity()),
        timings_ms={stage: round(1000 * seconds, 1) for stage, seconds in segmented.stages_s.items()},
    )


def _draw_uncertainty(prediction: Prediction) -> str:
    return encode_request(draw_spread(prediction.uncertainty_map()))


def _note(segmented: Segmented[Any], request: Request, response: Response) -> None:
    """Say in the answer's header and in the log what was found, and in which views."""
    response.headers[VIEWS_HEADER] = ",".join(segmented.prediction.views)
    request.state.findings = segmented.summary()


def main() -> int:
    """Start the service from the environment; a broken set-up ends here, in one sentence."""
    began, interrupted = time.monotonic(), StartSignals()
    try:
        settings = read_settings()
        configure_logging(settings)
        for sentence in misspelt_settings():
            logger.warning(sentence)
        listener, address = bind(settings)
        with ThreadPoolExecutor(1) as building:  # the routes, while the folds are compiled
            building_app = building.submit(create_app, settings)
            ensemble = load_ensemble(settings)
        app = building_app.result()
    except SegmentationError as error:
        print(f"The service cannot start: {str(error).rstrip('.')}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return interrupted.status
    if interrupted.seen:
        return interrupted.status
    server, service = Server(app), app.state.service
    service.ensemble, service.address, service.started = ensemble, address, began
    service.on_failure = server.end
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:  # before the server listens to signals itself
        return interrupted.status
    logger.complete()
    status = 1 if service.state is State.FAILED else 0
    if server.has_cut_off or service.engine_hangs:
        os._exit(status)  # scans that nobody waits for any more are not waited for either
    return status


if __name__ == "__main__":
    sys.exit(main())
