"""What stands between uvicorn and the routes, in which order."""

from collections.abc import Collection

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from inference.settings import Settings
from service.headers import DOCS_POLICY, PAGE_POLICY, SecurityHeaders
from service.limits.access import Access
from service.limits.body_limit import BodyLimit
from service.limits.body_timeout import BodyTimeout
from service.limits.origins import Origins
from service.operation.metrics import Metrics
from service.operation.request_log import REQUEST_ID, RequestLog

VIEWS_HEADER = "X-Views-Used"
DOCS = "/docs"


def install_middleware(app: FastAPI, settings: Settings, metrics: Metrics) -> None:
    """Wrap the app, whose routes are all there, from the inside out."""
    app.add_middleware(
        BodyLimit, max_bytes=max_body_bytes(settings), max_volume_bytes=max_volume_bytes(settings)
    )
    app.add_middleware(BodyTimeout, seconds=settings.body_timeout_s)
    keys = [key.get_secret_value() for key in settings.api_key]
    if keys:
        app.add_middleware(Access, keys=keys)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("Authorization", "Content-Type", "X-API-Key", REQUEST_ID),
            expose_headers=("Retry-After", VIEWS_HEADER, REQUEST_ID),
        )
    app.add_middleware(
        Origins,
        origins=settings.cors_origins,
        hosts=settings.allowed_hosts,
        listens_on=settings.host,
        checks_hosts=not keys,
    )
    app.add_middleware(SecurityHeaders, policies={DOCS: DOCS_POLICY, "/ui": PAGE_POLICY})
    app.router.redirect_slashes = False
    paths = {path for route in app.routes if isinstance(path := getattr(route, "path", None), str)}
    app.add_middleware(TrailingSlash, routes=frozenset(paths))
    app.add_middleware(RequestLog, metrics=metrics, routes=frozenset(paths), keys=keys)


class TrailingSlash:
    """ASGI middleware: a route's address with a slash behind it is that route, and not a way around to it.

    A redirect would name the scheme that the service speaks, which is not that of a tunnel.
    """

    def __init__(self, app: ASGIApp, *, routes: Collection[str]) -> None:
        self.app = app
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, by its route's own address."""
        if scope["type"] == "http" and scope["path"] not in self.routes:
            path = scope["path"].removesuffix("/")
            if path in self.routes:
                scope = {**scope, "path": path, "raw_path": path.encode()}
        await self.app(scope, receive, send)


def max_body_bytes(settings: Settings) -> int:
    """Return `MAX_BODY_MB` in bytes."""
    return int(settings.max_body_mb * 1e6)


def max_volume_bytes(settings: Settings) -> int:
    """Return `MAX_VOLUME_MB` in bytes, or `MAX_BODY_MB` where that is more."""
    return max(int(settings.max_volume_mb * 1e6), max_body_bytes(settings))
