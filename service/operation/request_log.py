"""What is seen of every request: its line in the log, its metrics, its id."""

import asyncio
import re
import time
import uuid
from collections.abc import Collection, Sequence

from loguru import logger
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.operation.logs import redact
from service.operation.metrics import Metrics
from service.problems import Refusal, problem, refuse

REQUEST_ID = "X-Request-ID"
GIVEN_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
OTHER = "other"


class RequestLog:
    """ASGI middleware, the outermost: one line a request, its metrics, and an answer in any case.

    It leaves the time of arrival in the request's state, from which deadlines count. Of an address
    only the route is kept: what else it holds may be a key, or a patient's name.
    """

    def __init__(
        self, app: ASGIApp, *, metrics: Metrics, routes: Collection[str], keys: Sequence[str] = ()
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.keys = keys
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and see to its answer, its line and its metrics."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._route(scope["path"]), self._request_id(scope))
        self.metrics.in_flight.inc()
        try:
            await exchange.answer(self.app)
        finally:
            self.metrics.in_flight.dec()
            self._note(exchange)

    def _route(self, path: str) -> str:
        """Return the route of an address, without what stands in it for a name or a key."""
        parent = path.rpartition("/")[0]
        return next((route for route in (path, parent, parent + "/{name}") if route in self.routes), OTHER)

    def _request_id(self, scope: Scope) -> str:
        """Return the id that the client has given, where it is plain and holds no key; else a new one."""
        given = Headers(scope=scope).get(REQUEST_ID, "")
        is_plain = GIVEN_ID.fullmatch(given) is not None and redact(self.keys, given) == given
        return given if is_plain else uuid.uuid4().hex

    def _note(self, exchange: "_Exchange") -> None:
        state = exchange.scope["state"]
        seconds = time.monotonic() - state["arrived"]
        status = str(exchange.status or "no answer")
        self.metrics.requests.labels(exchange.method, exchange.route, status).inc()
        self.metrics.request_seconds.labels(exchange.route).observe(seconds)
        if "refused" in state:
            self.metrics.refused.labels(state["refused"]).inc()
        is_answered_scan = exchange.method == "POST" and status.startswith("2")
        logger.bind(
            kind=None if is_answered_scan else (exchange.method, exchange.route, status),
            request_id=state["request_id"],
            method=exchange.method,
            route=exchange.route,
            status=exchange.status,
            received_bytes=exchange.received,
            seconds=round(seconds, 4),
            refused=state.get("refused"),
        ).info(
            "{} {} {} {:.0f} kB {:.0f} ms {} [{}]",
            exchange.method,
            exchange.route,
            status,
            exchange.received / 1000,
            1000 * seconds,
            state.get("findings", ""),
            state["request_id"],
        )


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, route: str, request_id: str) -> None:
        self.scope, self.route, self.request_id = scope, route, request_id
        self.method = scope["method"] if scope["method"] in METHODS else OTHER
        self.status: int | None = None
        self.received = 0
        self._receive, self._send = receive, send
        scope.setdefault("state", {}).update(arrived=time.monotonic(), request_id=request_id)

    async def answer(self, app: ASGIApp) -> None:
        """Have the app answer; where it cannot, answer for it."""
        try:
            await app(self.scope, self.receive, self.send)
        except asyncio.CancelledError:  # uvicorn cancels what outlasts SHUTDOWN_GRACE_S
            if self.status is not None:
                raise
            detail = "the service ended before this request was answered: send it again"
            refusal = Refusal(503, detail, "cut_off", retry_after_s=1, close=True)
            await refuse(refusal)(self.scope, self.receive, self.send)
        except Refusal as refusal:  # of a middleware: those of the routes are answered before they come here
            await refuse(refusal)(self.scope, self.receive, self.send)
        except Exception as error:
            logger.opt(exception=error).error(
                "unexpected error in {} {} [{}]", self.method, self.route, self.request_id
            )
            if self.status is not None:
                raise
            detail = f"something unexpected went wrong here: the service's log has it under {self.request_id}"
            await problem(500, detail, request_id=self.request_id)(self.scope, self.receive, self.send)

    async def receive(self) -> Message:
        """Receive, and count."""
        message = await self._receive()
        self.received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        """Send, with the request's id in the header."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            MutableHeaders(scope=message)[REQUEST_ID] = self.request_id
        await self._send(message)
