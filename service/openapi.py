"""What the OpenAPI document says of the routes that take a scan."""

from typing import Any

from service.messages import PROBLEM_CONTENT, TumorPredictRequestDto

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
