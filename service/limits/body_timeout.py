"""Refuses bodies that come too slowly."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.problems import Refusal


class BodyTimeout:
    """ASGI middleware: a body that is not here as a whole within `seconds` gets a 408 problem."""

    def __init__(self, app: ASGIApp, *, seconds: float) -> None:
        self.app = app
        self.seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, with a limit to its waiting."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
        else:
            await self.app(scope, self._timed(receive), send)

    def _timed(self, receive: Receive) -> Receive:
        due: float | None = asyncio.get_running_loop().time() + self.seconds

        async def receive_in_time() -> Message:
            nonlocal due
            try:
                async with asyncio.timeout_at(due):
                    message = await receive()
            except TimeoutError:
                detail = f"the body was not here within {self.seconds:g} s, the longest that it may take"
                raise Refusal(408, detail, "too_slow", close=True) from None
            if not message.get("more_body"):
                due = None
            return message

        return receive_in_time
