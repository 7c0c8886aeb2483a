"""Refuses bodies that are too large before they fill the memory."""

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import problem

DRAINED_AT_MOST = 8
"""How many limits' worth of a refused body is read and dropped, so that its sender sees the answer."""


class BodyLimit:
    """ASGI middleware: a body of more than `max_bytes` gets a 413 problem.

    Starlette's own limit answers in plain text, and at once: its sender, still busy sending, may
    see a broken connection instead of the answer.
    """

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes
        self.detail = f"the body is larger than {max_bytes / 1e6:g} MB, the most that is accepted"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        elif _declared_length(scope) > self.max_bytes:
            await self._drain(receive)
            await problem(413, self.detail)(scope, receive, send)
        else:
            await self.app(scope, self._counted(receive), send)

    def _counted(self, receive: Receive) -> Receive:
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_bytes:
                raise HTTPException(413, self.detail)
            return message

        return receive_counted

    async def _drain(self, receive: Receive) -> None:
        dropped = 0
        while dropped < DRAINED_AT_MOST * self.max_bytes:
            message = await receive()
            dropped += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body"):
                return


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
