"""Every error answer of the service, in one format: application/problem+json (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from loguru import logger
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from inference.errors import ScanError
from service.messages import Problem

NO_ROUTE = {
    404: "there is nothing at this address: /docs lists the routes",
    405: "this route takes another method: the Allow header says which, and /docs lists the routes",
}
"""What to say instead of the framework's bare phrase."""


class ProblemResponse(JSONResponse):
    """A problem as the body of an answer; its sentence is left in the request's state for the log."""

    media_type = "application/problem+json"

    def __init__(self, content: Problem, headers: Mapping[str, str] | None) -> None:
        super().__init__(content.model_dump(mode="json"), content.status, headers)
        self.detail = content.detail

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the problem, wherever in the service it was found."""
        scope.setdefault("state", {})["findings"] = self.detail
        await super().__call__(scope, receive, send)


def problem(
    status: int, detail: str, *, headers: Mapping[str, str] | None = None, **more: Any
) -> ProblemResponse:
    """Return a problem with the standard title of its status, a sentence, and further members."""
    return ProblemResponse(
        Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, **more), headers
    )


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every kind of error with a problem."""
    app.add_exception_handler(ScanError, _on_scan_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(ClientDisconnect, _on_hang_up)
    app.add_exception_handler(Exception, _on_unexpected_error)


async def _on_scan_error(_: Request, error: Exception) -> ProblemResponse:
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
    detail = NO_ROUTE.get(error.status_code, error.detail)
    return problem(error.status_code, detail, headers=error.headers)


async def _on_hang_up(_: Request, error: Exception) -> ProblemResponse:
    return problem(400, "the client hung up before its request was complete")  # for the log: nobody reads it


async def _on_unexpected_error(request: Request, error: Exception) -> ProblemResponse:
    logger.opt(exception=error).error("unexpected error in {} {}", request.method, request.url.path)
    return problem(500, "something unexpected went wrong here; the service's log has the details")
