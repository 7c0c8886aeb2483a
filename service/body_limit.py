"""Refuses bodies that are too large before they fill the memory."""

from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import Refusal, refuse

DRAINED_AT_MOST = 8
"""How many limits' worth of a refused body is read and dropped, so that its sender sees the answer."""

HELD_AT_MOST = 16
"""How many limits' worth all bodies together may take up at a time."""


class BodyLimit:
    """ASGI middleware: a body of more than `max_bytes` gets a 413 problem.

    Bodies that are small enough, but more of them at a time than the memory should hold, get a 503.

    Starlette's own limit answers in plain text, and at once: its sender, still busy sending, may
    see a broken connection instead of the answer.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif _declared_length(scope) > self.max_bytes:
            await self._drain(receive)
            await refuse(self._too_large())(scope, receive, send)
        else:
            body = _Body()
            try:
                await self.app(scope, self._counted(receive, body), send)
            finally:
                self.held_bytes -= body.received

    def _counted(self, receive: Receive, body: "_Body") -> Receive:
        async def receive_counted() -> Message:
            message = await receive()
            received = len(message.get("body", b""))
            body.received += received
            self.held_bytes += received
            if body.received > self.max_bytes:
                raise self._too_large()
            if self.held_bytes > HELD_AT_MOST * self.max_bytes:
                detail = "there are too many large requests at a time: try again in a moment"
                raise Refusal(503, detail, "bodies_too_large", retry_after_s=1)
            return message

        return receive_counted

    def _too_large(self) -> Refusal:
        detail = f"the body is larger than {self.max_bytes / 1e6:g} MB, the most that is accepted"
        return Refusal(413, detail, "body_too_large")

    async def _drain(self, receive: Receive) -> None:
        dropped = 0
        while dropped < DRAINED_AT_MOST * self.max_bytes:
            message = await receive()
            dropped += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                return


@dataclass
class _Body:
    received: int = 0


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
