"""From which pages a browser may ask, and under which names the service is asked: no others, by default.

A form needs no preflight, so any page could make a service on the loopback work; and a page whose name is
made to lead to the loopback (DNS rebinding) is, to the browser, of one origin with the service.
"""

import re
from collections.abc import Collection
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from service.problems import Refusal, refuse

OWN_PAGES = ("same-origin", "none")
"""`Sec-Fetch-Site` of the service's own pages, and of what a person has typed or bookmarked."""

DEFAULT_PORTS = {"http": 80, "https": 443}

FOREIGN_ORIGIN = (
    "a page of another origin may not use this service: name its origin in CORS_ORIGINS, or, where this is "
    "the service's own page behind a proxy that changes the Host header, its host in ALLOWED_HOSTS"
)
UNKNOWN_HOST = (
    "a browser may not use this service under this name: name it in ALLOWED_HOSTS, or set API_KEY, with "
    "which every name will do"
)


class Origins:
    """ASGI middleware: what a page of a foreign origin asks gets a 403 problem, its body unread.

    `origins` are those of `CORS_ORIGINS`, `hosts` those of `ALLOWED_HOSTS`, and `listens_on` is `HOST`. An
    address in digits is never a name that somebody could have made to lead here. Names are looked at only
    where a browser asks, and where `checks_hosts`: whom a key is asked of, no name helps.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        origins: Collection[str],
        hosts: Collection[str],
        listens_on: str,
        checks_hosts: bool,
    ) -> None:
        self.app = app
        self.origins = {origin.lower() for origin in origins}
        self.hosts = {host.lower() for host in hosts}
        self.listens_on = listens_on.lower()
        self.checks_hosts = checks_hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if not self._may_ask(scope["method"], headers):
                await refuse(Refusal(403, FOREIGN_ORIGIN, "foreign_origin"))(scope, receive, send)
                return
            if (
                self.checks_hosts
                and is_browsers(scope["method"], headers)
                and not self._knows(headers.get("host", ""))
            ):
                await refuse(Refusal(403, UNKNOWN_HOST, "unknown_host"))(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _may_ask(self, method: str, headers: Headers) -> bool:
        if "*" in self.origins:
            return True
        if "origin" in headers:
            return all(self._is_own(origin, headers) for origin in headers.getlist("origin"))
        site = headers.get("sec-fetch-site")
        if site is None or site in OWN_PAGES:
            return True
        # a link on a page of others may lead here, but nothing of here may be part of that page
        destination = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest"))
        return method in ("GET", "HEAD") and destination == ("navigate", "document")

    def _is_own(self, origin: str, headers: Headers) -> bool:
        """Say whether an origin is the service's, by the name that it is asked under, or one that is named.

        Schemes are not compared: behind a tunnel the browser speaks TLS, and the service does not.
        """
        if origin.lower() in self.origins:
            return True
        scheme = origin.partition(":")[0]
        own, other = _host_and_port(headers.get("host", ""), scheme), _host_and_port(origin, scheme)
        # a name with a star, or that of the machine, is that of others' pages too
        return other is not None and (own == other or other[0] in self.hosts - {"*"})

    def _knows(self, host: str) -> bool:
        named = _host_and_port(host, "http")
        if named is None:
            return False
        name = named[0]
        wider = (f"*.{name[dot.end() :]}" for dot in re.finditer(r"\.", name))
        is_named = not self.hosts.isdisjoint(("*", name, *wider))
        return is_named or name == self.listens_on or _is_loopback_or_address(name)


def is_browsers(method: str, headers: Headers) -> bool:
    """Say whether a browser has sent a request, as far as that can be told.

    Over plain HTTP and to another name than localhost, browsers send no `Sec-Fetch-Site`, and with a GET
    to the page's own origin no `Origin`: then only the name that they call themselves tells. A POST of
    theirs always has an `Origin`; one without is a program's, whatever it calls itself. Node's `fetch`
    sends `Sec-Fetch-Mode`, and is none.
    """
    if "origin" in headers or "sec-fetch-site" in headers:
        return True
    return method in ("GET", "HEAD") and headers.get("user-agent", "").startswith("Mozilla/")


def _is_loopback_or_address(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _host_and_port(text: str, scheme: str) -> tuple[str, int | None] | None:
    """Return host, in small letters, and port of an origin or a Host header; None where it is neither."""
    try:
        parts = urlsplit(text if "://" in text else f"//{text}", scheme=scheme)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return host.removesuffix("."), port or DEFAULT_PORTS.get(scheme)
