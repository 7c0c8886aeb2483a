"""The headers that tell a browser what it may do with an answer."""

from collections.abc import Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

ALL_PAGES = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
DOCS_POLICY = (
    # Swagger UI is started by a script in the page, which shows no input of anybody
    "default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'"
)


PAGE_POLICY = (
    # its script and style are files from here, its pictures are part of the answer that shows them
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)


class SecurityHeaders:
    """ASGI middleware: nothing may be framed, guessed, kept or loaded, but what a page needs.

    `policies` has the content security policies of those pages, by path.
    """

    def __init__(self, app: ASGIApp, *, policies: Mapping[str, str]) -> None:
        self.app = app
        self.policies = policies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and its answer back with the headers."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(ALL_PAGES)
                if scope["path"] in self.policies and message["status"] == 200:
                    headers["Content-Security-Policy"] = self.policies[scope["path"]]
            await send(message)

        await self.app(scope, receive, send_with_headers)
