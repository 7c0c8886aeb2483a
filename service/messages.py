"""The requests and answers of the service."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from inference.report.description import ScanFindings

BLANK_SCAN = (
    "iVBORw0KGgoAAAANSUhEUgAAACAAAAAgAQAAAABbAUdZAAAAEUlEQVR42mP8z8DAwMQwaAkAswEBP25AfJYAAAAASUVORK5CYII="
)
"""The smallest scan that there is, for `/docs` to try out: 32 x 32 px without uptake."""


class TumorPredictRequestDto(BaseModel):
    """A MIP-PET scan to segment."""

    img: Annotated[
        str,
        Field(
            description="The scan's PNG or JPEG file as base64, with or without a data-URL prefix",
            examples=[BLANK_SCAN],
        ),
    ]


class TumorPredictResponseDto(BaseModel):
    """The mask of a scan."""

    img: Annotated[str, Field(description="PNG of the scan's size as base64: white is tumour, black is not")]


class ModelIdentity(BaseModel):
    """Which folds answered, and how."""

    folds: list[dict[str, str]]
    engine: str
    tta_ops: list[str]
    threshold: Annotated[float, Field(description="From which probability on a pixel is tumour")]
    blank_below: Annotated[
        float,
        Field(
            description="Below which tumor_probability a whole mask is black; 0 leaves every mask as it is"
        ),
    ]


class AnalyzeResponse(ScanFindings, TumorPredictResponseDto):
    """Mask, classification and lesions of a scan; places and areas are in pixels of the scan."""

    img: Annotated[
        str,
        Field(
            description="PNG of the scan's size as base64: white is tumour, black is not. All black where "
            "tumor_probability is below the model's blank_below: the scan as a whole is then very probably "
            "free of tumour"
        ),
    ]
    uncertainty_map: Annotated[
        str | None,
        Field(
            description="Only with ?uncertainty=true: PNG of the scan's size as base64, the standard "
            "deviation of the folds' probabilities at each pixel; 0 is none, 255 the most possible, one half"
        ),
    ] = None
    model: ModelIdentity
    timings_ms: dict[str, float]


class ServiceInfo(BaseModel):
    """What is running here; `model` is null until the folds are loaded."""

    service: str
    version: str
    uptime_s: float
    state: str
    model: ModelIdentity | None


class Running(BaseModel):
    """The root's answer."""

    message: str


class Health(BaseModel):
    """The state of the service."""

    state: str


class Live(BaseModel):
    """Whether the process answers, as the Open Inference Protocol has it."""

    live: bool


class Ready(BaseModel):
    """Whether scans can be segmented, as the Open Inference Protocol has it."""

    ready: bool


class TensorMetadata(BaseModel):
    """An input or output of a model (Open Inference Protocol)."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """A model (Open Inference Protocol); scans go to `/predict`, as base64 text."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class Problem(BaseModel):
    """What was wrong with a request (RFC 9457)."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str


PROBLEM_CONTENT: dict[str, Any] = {"application/problem+json": {"schema": Problem.model_json_schema()}}
