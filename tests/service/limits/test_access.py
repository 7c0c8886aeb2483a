"""With `API_KEY` set, nothing but root and health answers without a key, and no key is ever written down."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from inference.errors import SettingsError
from inference.settings import read_settings
from tests.conftest import ROOT, Server, run_script, start_server, stop_server
from tests.service.in_process import wait_until

KEY, OTHER_KEY = "a-key-of-the-competition", "another-key-0123456789"
OPEN = {"/", "/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready"}
SCAN = (ROOT / "samples" / "phantom_2.png").read_bytes()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with two keys that writes all it can to its log."""
    running = start_server(
        tmp_path_factory.mktemp("guarded"),
        API_KEY=f"{KEY}, {OTHER_KEY}",
        LOG_FORMAT="json",
        LOG_LEVEL="TRACE",
        CORS_ORIGINS="https://viewer.example",
    )
    yield running
    stop_server(running)
    assert KEY not in running.log.read_text()
    assert OTHER_KEY not in running.log.read_text()


def ask(server: Server, method: str, path: str, headers: dict[str, str] | None = None) -> httpx.Response:
    content = SCAN if method == "POST" else None
    headers = (headers or {}) | ({"Content-Type": "image/png"} if content else {})
    return httpx.request(method, server.url + path, headers=headers, content=content, timeout=60)


def test_without_a_key_only_root_and_health_answer(guarded: Server) -> None:
    document = ask(guarded, "GET", "/openapi.json", {"X-API-Key": KEY}).json()
    routes = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert len(routes) >= 10
    page = {("POST", "/ui/segment"), ("POST", "/ui/cut"), ("POST", "/ui/samples/phantom_1")}
    page |= {("GET", path) for path in ("/ui", "/ui/", "/ui/assets/page.js", "/ui/samples/phantom_1")}
    nowhere = {("GET", path) for path in ("/docs", "/openapi.json", "/nothing", "//predict", "/health/other")}
    for method, path in routes | page | nowhere | {("PUT", "/predict"), ("POST", "/predict/")}:
        answer = ask(guarded, method, path)
        if path in OPEN:
            assert answer.status_code == 200, path
        else:
            assert answer.status_code == 401, path
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize("key", [KEY, OTHER_KEY])
def test_a_key_opens_everything_wherever_it_is_sent(guarded: Server, key: str) -> None:
    basic = base64.b64encode(f"anybody:{key}".encode()).decode()
    ways = [{"Authorization": f"Bearer {key}"}, {"X-API-Key": key}, {"Authorization": f"Basic {basic}"}]
    for headers in ways:
        for path in ("/api", "/metrics", "/docs", "/openapi.json", "/v2/models/tumor-segmentation"):
            assert ask(guarded, "GET", path, headers).status_code == 200
    masks = [ask(guarded, "POST", "/predict", headers).json()["img"] for headers in ways]
    masks += [ask(guarded, "POST", f"{path}/{key}").json()["img"] for path in ("/predict", "/analyze")]
    assert len(set(masks)) == 1


@pytest.mark.parametrize(
    "wrong", [KEY[:-1], KEY + "x", KEY.upper(), f"{KEY},{OTHER_KEY}", "%00", "..%2Fhealth"]
)
def test_a_wrong_key_opens_nothing(guarded: Server, wrong: str) -> None:
    assert ask(guarded, "POST", f"/predict/{wrong}").status_code == 401
    assert ask(guarded, "GET", "/api", {"Authorization": f"Bearer {wrong}"}).status_code == 401
    assert (
        ask(guarded, "GET", "/api", {"Authorization": f"Basic {wrong}", "X-API-Key": wrong}).status_code
        == 401
    )


@pytest.mark.parametrize("credentials", [b"\xff", b"\xc3\xa9", b"YTp\xe9", b"YTpi=\xff"])
def test_what_is_no_ascii_is_no_key_and_no_fault(guarded: Server, credentials: bytes) -> None:
    for scheme in (b"Basic ", b"Bearer "):
        headers = {b"Authorization": scheme + credentials}
        answer = httpx.get(guarded.url + "/api", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (401, "application/problem+json")


def test_the_client_takes_the_address_that_the_competition_is_given(guarded: Server, tmp_path: Path) -> None:
    ended = run_script("client_test.py", "--url", f"{guarded.url}/predict/{KEY}", "--out", tmp_path)
    assert ended.returncode == 0, ended.stderr
    ended = run_script("client_test.py", "--url", f"{guarded.url}/predict/{KEY}x", "--out", tmp_path)
    assert "/predict answered 401" in ended.stderr
    assert KEY not in ended.stderr + ended.stdout


def test_a_key_is_in_no_log_and_no_metric_wherever_it_was_put(guarded: Server) -> None:
    for path in (
        f"/predict/{KEY}",
        f"/{KEY}",
        f"/predict?key={KEY}",
        f"/nothing/{KEY}/x",
        f"/analyze/{KEY}/",
    ):
        ask(guarded, "POST", path, {"X-Request-ID": KEY, "User-Agent": KEY, "Cookie": KEY})
        ask(guarded, "GET", path, {"Authorization": f"Bearer {KEY}", "X-Request-ID": KEY})
    text = ask(guarded, "GET", "/metrics", {"X-API-Key": KEY}).text
    assert 'route="/predict"' in text
    assert KEY not in text
    log = guarded.log.read_text()
    assert '"route": "/predict"' in log
    assert KEY not in log


def test_json_lines_are_one_a_request(guarded: Server) -> None:
    ask(guarded, "POST", "/predict", {"X-API-Key": KEY, "X-Request-ID": "scan-41"})
    wait_until(lambda: "scan-41" in guarded.log.read_text())  # the line follows its answer
    lines = [json.loads(line) for line in guarded.log.read_text().splitlines()]
    (line,) = [line for line in lines if line.get("request_id") == "scan-41"]
    assert (line["method"], line["route"], line["status"], line["level"]) == ("POST", "/predict", 200, "INFO")
    assert line["received_bytes"] == len(SCAN)
    assert line["seconds"] > 0


def test_only_named_origins_may_call_from_a_browser(guarded: Server, server: Server) -> None:
    def preflight(of: Server, origin: str) -> httpx.Response:
        headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
        return httpx.options(of.url + "/predict", headers=headers)

    allowed = preflight(guarded, "https://viewer.example")
    assert allowed.headers["access-control-allow-origin"] == "https://viewer.example"
    for answer in (preflight(guarded, "https://evil.example"), preflight(server, "https://viewer.example")):
        assert answer.status_code >= 400
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("key", ["short", "sixteen letters and spaces", f"{KEY},x", "not/in/an/address/0123"])
def test_a_key_that_is_easy_to_guess_or_fits_no_address_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("API_KEY", key)
    with pytest.raises(SettingsError, match="API_KEY cannot be used: each key must be 16") as error:
        read_settings()
    assert key not in str(error.value)
