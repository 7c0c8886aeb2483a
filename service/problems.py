"""Every error answer of the service, in one format: application/problem+json (RFC 9457)."""

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from inference.errors import ScanError
from inference.volumes.errors import VolumeError
from service.messages import Problem

REASONS = {
    400: "bad_request",
    401: "unauthorized",
    403: "foreign_origin",
    404: "unknown_route",
    405: "wrong_method",
    408: "too_slow",
    413: "body_too_large",
    415: "unsupported_type",
    422: "unusable_scan",
    431: "header_too_large",
    500: "error",
}
"""What the metrics count a problem under, by its status, where it names no reason of its own."""

NO_ROUTE = {
    404: "there is nothing at this address: /docs lists the routes",
    405: "this route takes another method: the Allow header says which, and /docs lists the routes",
}
"""What to say instead of the framework's bare phrase."""


class Refusal(HTTPException):
    """A request that is turned away on purpose, and the reason that the metrics count it under."""

    def __init__(
        self,
        status: int,
        detail: str,
        reason: str,
        *,
        retry_after_s: float | None = None,
        close: bool = False,
    ) -> None:
        headers = {} if retry_after_s is None else {"Retry-After": str(max(1, math.ceil(retry_after_s)))}
        super().__init__(status, detail, headers | ({"Connection": "close"} if close else {}))
        self.reason = reason


class ProblemResponse(JSONResponse):
    """A problem as the body of an answer; sentence and reason are left in the request's state."""

    media_type = "application/problem+json"

    def __init__(self, content: Problem, headers: Mapping[str, str] | None, reason: str | None) -> None:
        super().__init__(content.model_dump(mode="json"), content.status, headers)
        self.detail = content.detail
        self.reason = reason or REASONS.get(content.status, "other")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the problem, wherever in the service it was found."""
        scope.setdefault("state", {}).update(findings=self.detail, refused=self.reason)
        await super().__call__(scope, receive, send)


def problem(
    status: int,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    reason: str | None = None,
    **more: Any,
) -> ProblemResponse:
    """Return a problem with the standard title of its status, a sentence, and further members."""
    content = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, **more)
    return ProblemResponse(content, headers, reason)


def refuse(refusal: Refusal) -> ProblemResponse:
    """Return the problem that a refusal is answered with."""
    return problem(refusal.status_code, refusal.detail, headers=refusal.headers, reason=refusal.reason)


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every kind of error with a problem; what nobody expected, `RequestLog` answers."""
    app.add_exception_handler(ScanError, _on_scan_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_hang_up)


async def _on_scan_error(_: Request, error: Exception) -> ProblemResponse:
    if isinstance(error, VolumeError):
        return problem(413 if error.fault == "too_large" else 422, str(error), fault=error.fault)
    return problem(422, str(error))


async def _on_invalid_request(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, RequestValidationError)
    faults = [{"where": ".".join(map(str, fault["loc"])), "what": fault["msg"]} for fault in error.errors()]
    first = faults[0]
    return problem(
        422, f"the request is not as it should be: {first['where']}: {first['what']}", errors=faults
    )


async def _on_http_error(_: Request, error: Exception) -> ProblemResponse:
    assert isinstance(error, HTTPException)
    if isinstance(error, Refusal):
        return refuse(error)
    said_nothing = error.detail == HTTPStatus(error.status_code).phrase
    detail = NO_ROUTE.get(error.status_code, error.detail) if said_nothing else error.detail
    return problem(error.status_code, detail, headers=error.headers)


async def _on_hang_up(_: Request, error: Exception) -> ProblemResponse:
    # for log and metrics: nobody reads it
    return problem(400, "the client hung up before it had its answer", reason="hung_up")
