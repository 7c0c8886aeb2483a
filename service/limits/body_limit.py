"""Refuses bodies that are too large before they fill the memory."""

from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import Refusal, refuse

DRAINED_AT_MOST = 8
"""How many limits' worth of a refused body is read and dropped, so that its sender sees the answer."""

HELD_AT_MOST = 16
"""How many limits' worth all bodies together may take up at a time; of volumes' limits, two."""

VOLUME_ROUTES = ("/analyze", "/ui/segment")


class BodyLimit:
    """ASGI middleware: a body of more than `max_bytes` gets a 413 problem.

    A form for one of the `VOLUME_ROUTES` may hold a volume, and be as large as `max_volume_bytes`.

    Bodies that are small enough, but more of them at a time than the memory should hold, get a 503.

    Starlette's own limit answers in plain text, and at once: its sender, still busy sending, may
    see a broken connection instead of the answer.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int, max_volume_bytes: int = 0) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.max_volume_bytes = max(max_volume_bytes, max_bytes)
        self.max_held_bytes = max(HELD_AT_MOST * max_bytes, 2 * self.max_volume_bytes)
        self.held_bytes = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        max_bytes = self.max_volume_bytes if _may_hold_volume(scope) else self.max_bytes
        if _declared_length(scope) > max_bytes:
            await self._drain(receive, max_bytes)
            await refuse(too_large(max_bytes))(scope, receive, send)
        else:
            body = _Body(max_bytes)
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
            if body.received > body.max_bytes:
                raise too_large(body.max_bytes)
            if self.held_bytes > self.max_held_bytes:
                detail = "there are too many large requests at a time: try again in a moment"
                raise Refusal(503, detail, "bodies_too_large", retry_after_s=1)
            return message

        return receive_counted

    async def _drain(self, receive: Receive, max_bytes: int) -> None:
        dropped = 0
        while dropped < DRAINED_AT_MOST * max_bytes:
            message = await receive()
            dropped += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                return


@dataclass
class _Body:
    max_bytes: int
    received: int = 0


def too_large(max_bytes: int) -> Refusal:
    """Return what a body of more than so many bytes is answered."""
    detail = f"the body is larger than {max_bytes / 1e6:g} MB, the most that is accepted"
    return Refusal(413, detail, "body_too_large")


def _may_hold_volume(scope: Scope) -> bool:
    """Say whether a request is a form for a route that takes volumes."""
    if scope["path"].rstrip("/") not in VOLUME_ROUTES:
        return False
    return any(
        name == b"content-type" and value.lower().startswith(b"multipart/form-data")
        for name, value in scope["headers"]
    )


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
