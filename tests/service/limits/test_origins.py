"""Pages of others may not use the service, whatever name leads there; programs may, and its own pages."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from inference.ensemble import Ensemble
from inference.errors import SettingsError
from inference.settings import read_settings
from tests.conftest import plain_settings
from tests.service.in_process import SCAN, serving, wait_for

KEY = "a-key-of-the-competition"
TUNNEL = "rnabc-12-34.a.free.pinggy.link"
CHROMIUM = {"User-Agent": "Mozilla/5.0 (X11; Linux x86_64) Chrome/140.0"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
NODE = {"Sec-Fetch-Mode": "cors", "Accept-Language": "*", "User-Agent": "node"}


@pytest.fixture(scope="module")
def plain(loaded: Ensemble) -> Iterator[httpx.Client]:
    """A service without a key and with no name but its own."""
    with serving(plain_settings(), loaded) as client:
        wait_for(client, "ready")
        yield client


@pytest.fixture(scope="module")
def named(loaded: Ensemble) -> Iterator[httpx.Client]:
    """A service that has a name, and of which a viewer's pages ask."""
    settings = plain_settings(
        allowed_hosts=("scans.example.org", "*.free.pinggy.link"), cors_origins=("https://viewer.example",)
    )
    with serving(settings, loaded) as client:
        wait_for(client, "ready")
        yield client


@pytest.fixture(scope="module")
def guarded(loaded: Ensemble) -> Iterator[httpx.Client]:
    with serving(plain_settings(api_key=(KEY,)), loaded) as client:
        wait_for(client, "ready")
        yield client


def refusal_of(client: httpx.Client, headers: dict[str, str], method: str = "POST") -> str | None:
    """Return the reason for which a scan, or a GET, is refused; None where it is answered."""
    before = refusals(client)
    if method == "POST":
        answer = client.post("/predict", json=SCAN, headers=headers)
    else:
        answer = client.request(method, "/ui", headers=headers)
    if answer.status_code != httpx.codes.FORBIDDEN:
        assert answer.status_code == httpx.codes.OK, answer.text
        return None
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("CORS_ORIGINS" in answer.text) != ("API_KEY" in answer.text)
    (reason,) = {name for name, count in refusals(client).items() if count > before.get(name, 0)}
    return reason


def refusals(client: httpx.Client) -> dict[str, float]:
    lines = client.get("/metrics", headers={"X-API-Key": KEY}).text.splitlines()
    counted = [line for line in lines if line.startswith("tumor_refused_total{")]
    return {line.split('"')[1]: float(line.split()[-1]) for line in counted}


@pytest.mark.parametrize(
    "headers",
    [
        *({}, NODE, CHROMIUM, {"Host": TUNNEL}, NODE | {"Host": TUNNEL}, {"Host": ""}, {"Host": "tumor:80"}),
        CHROMIUM | {"Host": TUNNEL},  # a POST without an origin is no browser's, whatever it calls itself
        *(
            CHROMIUM | {"Host": host}
            for host in ("localhost", "LOCALHOST.:1", "[::1]:9051", "192.168.1.5:80")
        ),
        CHROMIUM | {"Host": "localhost:80", "Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"},
        {"Host": "localhost", "Origin": "https://localhost:443"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_programs_and_own_pages_are_answered(plain: httpx.Client, headers: dict[str, str]) -> None:
    assert refusal_of(plain, headers) is None


@pytest.mark.parametrize(
    "headers",
    [
        *(
            {"Origin": origin}
            for origin in ("https://evil.example", "null", "", "http://localhost", "file://")
        ),
        *(
            {"Origin": origin}
            for origin in ("http://127.0.0.1:1", "http://[", "http://127.0.0.1@evil.example")
        ),
        *({"Sec-Fetch-Site": site} for site in ("cross-site", "same-site", "anything")),
        LINK,
        LINK | {"Sec-Fetch-Dest": "iframe"},
        CHROMIUM | {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
    ],
)
def test_what_a_foreign_page_sends_is_refused(
    plain: httpx.Client, guarded: httpx.Client, headers: dict[str, str]
) -> None:
    assert refusal_of(plain, headers) == "foreign_origin"
    key = {"X-API-Key": KEY}  # as a browser would add the password that it has been told
    assert refusal_of(guarded, headers | key) == "foreign_origin"


def test_a_link_on_a_foreign_page_leads_here_and_a_frame_does_not(plain: httpx.Client) -> None:
    assert refusal_of(plain, CHROMIUM | LINK, "GET") is None
    assert refusal_of(plain, CHROMIUM | LINK | {"Sec-Fetch-Dest": "iframe"}, "GET") == "foreign_origin"
    image = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}
    assert refusal_of(plain, CHROMIUM | image, "GET") == "foreign_origin"


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:9051", TUNNEL, "localhost.evil.example", "a b"]
)
def test_a_browser_that_a_name_has_led_here_is_refused(plain: httpx.Client, host: str) -> None:
    rebound = {"Host": host, "Origin": f"http://{host}", "Sec-Fetch-Site": "same-origin"}
    assert refusal_of(plain, rebound) in ("unknown_host", "foreign_origin")
    assert refusal_of(plain, CHROMIUM | {"Host": host}, "GET") == "unknown_host"


def test_a_tunnels_name_works_where_it_is_named_or_a_key_is_asked_for(
    named: httpx.Client, guarded: httpx.Client
) -> None:
    page = CHROMIUM | {"Sec-Fetch-Site": "same-origin"}
    for host in (TUNNEL, "scans.example.org"):
        assert refusal_of(named, page | {"Host": host, "Origin": f"https://{host}"}) is None
    assert refusal_of(named, page | {"Host": "evil.example"}) == "unknown_host"
    # a proxy that changes the host; a star is everybody's who has a tunnel there
    assert refusal_of(named, CHROMIUM | {"Origin": "https://scans.example.org"}) is None
    assert refusal_of(named, CHROMIUM | {"Origin": f"https://{TUNNEL}"}) == "foreign_origin"
    assert refusal_of(named, CHROMIUM | {"Origin": "https://viewer.example"}) is None
    assert refusal_of(named, CHROMIUM | {"Origin": "https://viewer.example.evil.example"}) == "foreign_origin"
    through = page | {"Host": TUNNEL, "Origin": f"https://{TUNNEL}"}
    assert refusal_of(guarded, through | {"X-API-Key": KEY}) is None
    assert guarded.post("/predict", json=SCAN, headers=through).status_code == 401  # so that a browser asks


def test_a_refused_body_is_not_waited_for(plain: httpx.Client) -> None:
    with socket.create_connection((plain.base_url.host, plain.base_url.port or 80), timeout=5) as sock:
        sock.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nOrigin: https://evil.example\r\n"
            b"Content-Type: image/png\r\nContent-Length: 30000000\r\n\r\n"
        )
        assert sock.recv(100).startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "host", ["https://scans.example.org", "scans.example.org:80", "*example.org", "a/b", "*."]
)
def test_a_host_that_is_none_stops_the_start(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", f"localhost,{host}")
    with pytest.raises(SettingsError, match=r"ALLOWED_HOSTS=.* cannot be used: each must be a host's name"):
        read_settings()
