"""Who may ask, where `API_KEY` is set."""

import base64
import hashlib
import hmac
from collections.abc import Collection, Iterator

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.problems import problem

OPEN_ROUTES = frozenset({"/", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"})
KEY_IN_PATH = ("/predict", "/analyze")
"""For senders that can be given an address and nothing else."""

WAYS = ("Bearer", 'Basic realm="the password is the key"')

DETAIL = (
    "this needs a key: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY', or post a scan to "
    "/predict/KEY; in a browser it is the password, and the user name does not matter"
)


class Access:
    """ASGI middleware: without one of the keys there is nothing here but the root and the health.

    A key in the address is taken out of it, so that nothing behind this ever sees it.
    """

    def __init__(self, app: ASGIApp, *, keys: Collection[str]) -> None:
        self.app = app
        self._digests = [_digest(key) for key in keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        route, _, key = scope["path"].rpartition("/")
        if route in KEY_IN_PATH and self._knows(key):
            await self.app({**scope, "path": route, "raw_path": route.encode()}, receive, send)
        elif scope["path"] in OPEN_ROUTES or any(map(self._knows, _keys_in(Headers(scope=scope)))):
            await self.app(scope, receive, send)
        else:
            refused = problem(401, DETAIL)
            for way in WAYS:  # a header each: of two in one, Chromium sees only the first
                refused.headers.append("WWW-Authenticate", way)
            await refused(scope, receive, send)

    def _knows(self, key: str) -> bool:
        """Compare with every key, in a time that tells nothing of where they differ."""
        digest = _digest(key)
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()


def _keys_in(headers: Headers) -> Iterator[str]:
    if "x-api-key" in headers:
        yield headers["x-api-key"]
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        yield credentials.strip()
    if scheme.lower() == "basic":
        try:
            yield base64.b64decode(credentials).decode("latin-1").partition(":")[2]
        except ValueError:  # of what is no base64, and of what is no ASCII
            return
