"""What the OpenAPI document says of the routes that take a scan."""

from typing import Any

from service.messages import PROBLEM_CONTENT, TumorPredictRequestDto

PICTURE = {"schema": {"type": "string", "format": "binary"}}
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
        "image/png": PICTURE,
        "image/jpeg": PICTURE,
    },
}


def problems(descriptions: dict[int, str]) -> dict[int | str, dict[str, Any]]:
    """Return how a route documents the problems that it answers, by status."""
    return {
        status: {"description": description, "content": PROBLEM_CONTENT}
        for status, description in descriptions.items()
    }


UNAUTHORIZED = problems({401: "`API_KEY` is set, and the request brings none of the keys"})
BAD_SCAN = problems(
    {
        400: "The form cannot be read",
        403: "A page of an origin that is not allowed asks",
        408: "The body came too slowly",
        413: "The body is too large",
        415: "The content type is neither JSON nor a form nor a picture",
        422: "The request holds no scan that can be segmented",
        503: "The service is not ready, or too many scans wait: `Retry-After` says for how long",
    }
)
