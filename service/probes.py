"""What those ask who watch the service: health, metrics, and the Open Inference Protocol's metadata."""

from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.exceptions import HTTPException

from inference.version import __version__
from service.dependencies import ServiceDependency
from service.messages import Health, Live, ModelMetadata, Ready, TensorMetadata
from service.openapi import UNAUTHORIZED, problems
from service.operation.metrics import CONTENT_TYPE
from service.operation.readiness import State

MODEL = "tumor-segmentation"

Responses = dict[int | str, dict[str, Any]]


def add_probes(app: FastAPI, guarded: dict[str, Any]) -> None:
    """Add the routes; `guarded` is what those have in common that need a key where there is one."""
    none: Responses = {}
    no_health: Responses = {503: {"model": Health}}
    not_ready: Responses = {503: {"model": Ready}}
    for path, summary, route, responses in (
        ("/health/live", "Say that the process answers", live, none),
        ("/health/ready", "Say whether scans can be segmented", ready, no_health),
        ("/v2/health/live", "The same (Open Inference Protocol)", v2_live, none),
        ("/v2/health/ready", "The same (Open Inference Protocol)", v2_ready, not_ready),
    ):
        app.get(path, summary=summary, responses=responses)(route)
        app.head(path, include_in_schema=False)(route)
    unknown = problems({404: "There is no such model"})
    app.get(
        "/v2/models/{name}",
        summary="Say what a model takes and gives (Open Inference Protocol)",
        **guarded | {"responses": UNAUTHORIZED | unknown},
    )(model_metadata)
    app.get("/metrics", summary="For Prometheus", response_class=PlainTextResponse, **guarded)(metrics)


async def live() -> Health:
    """Answer that the process is alive."""
    return Health(state="live")


async def ready(service: ServiceDependency) -> JSONResponse:
    """Answer 200 while scans are segmented, 503 before, after, and while the engine fails."""
    return JSONResponse({"state": service.state}, 200 if service.state is State.READY else 503)


async def v2_live() -> Live:
    """Answer that the process is alive."""
    return Live(live=True)


async def v2_ready(service: ServiceDependency) -> JSONResponse:
    """Answer 200 while scans are segmented, 503 otherwise."""
    is_ready = service.state is State.READY
    return JSONResponse({"ready": is_ready}, 200 if is_ready else 503)


async def model_metadata(name: str, service: ServiceDependency) -> ModelMetadata:
    """Answer what the one model here takes and gives; it is asked at `/predict`."""
    if name != MODEL:
        raise HTTPException(404, f"there is one model here: {MODEL}")
    text = TensorMetadata(name="img", datatype="BYTES", shape=[1])
    platform = service.ensemble.engine.name if service.ensemble else "not loaded yet"
    return ModelMetadata(name=MODEL, versions=[__version__], platform=platform, inputs=[text], outputs=[text])


async def metrics(service: ServiceDependency) -> Response:
    """Answer the metrics in Prometheus' text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE)
