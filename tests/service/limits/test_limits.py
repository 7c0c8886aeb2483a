"""What nobody may do: hold on, send too much, or send what is no scan. All of it by raw sockets."""

import codecs
import http.client
import json
import socket
import time
from collections.abc import Iterator

import httpx
import numpy as np
import pytest

from inference.ensemble import Ensemble
from service.limits import connections
from tests.conftest import Server, as_base64, file_bytes, plain_settings
from tests.service.in_process import SCAN, serving, wait_for, wait_until
from training.phantoms.drawing import Phantom

BODY_TIMEOUT_S = 1.0
HEADER_TIMEOUT_S = 1.0
MAX_CONNECTIONS = 8


@pytest.fixture(scope="module")
def impatient(loaded: Ensemble) -> Iterator[httpx.Client]:
    """A service that waits for a second, and for eight connections."""
    settings = plain_settings(
        body_timeout_s=BODY_TIMEOUT_S, max_connections=MAX_CONNECTIONS, max_body_mb=1, max_queue=1
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(connections, "HEADER_TIMEOUT_S", HEADER_TIMEOUT_S)
        with serving(settings, loaded) as client:
            wait_for(client, "ready")
            yield client


def connect(client: httpx.Client) -> socket.socket:
    return socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=20)


def answer_of(sock: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """Read one answer; an empty one is a closed connection."""
    answer = http.client.HTTPResponse(sock)
    answer.begin()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def assert_refused(sock: socket.socket, status: int) -> None:
    answered, headers, body = answer_of(sock)
    assert (answered, headers["content-type"]) == (status, "application/problem+json")
    assert json.loads(body)["status"] == status
    assert sock.recv(1) == b""  # and let go of


def assert_good_scans_go_through(client: httpx.Client) -> None:
    assert client.post("/predict", json=SCAN).status_code == 200


POST = b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"


def test_a_body_that_stops_half_way_is_408_and_keeps_nobody_out(impatient: httpx.Client) -> None:
    with connect(impatient) as half:
        half.sendall(POST + b"Content-Length: 1000\r\n\r\n{")
        wait_until(lambda: "tumor_requests_in_flight 2.0" in impatient.get("/metrics").text)
        assert_good_scans_go_through(impatient)  # though MAX_QUEUE is one
        assert_refused(half, 408)
    with connect(impatient) as drip:
        drip.sendall(POST + b"Content-Length: 1000\r\n\r\n{")
        for _ in range(3):  # a drop now and then does not help
            time.sleep(0.1)
            drip.sendall(b" ")
        assert_refused(drip, 408)


def test_a_header_that_never_ends_is_431(impatient: httpx.Client) -> None:
    with connect(impatient) as at_once, connect(impatient) as bit_by_bit:
        at_once.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 20_000)
        assert_refused(at_once, 431)
        bit_by_bit.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        for _ in range(3):
            bit_by_bit.sendall(b"X-Long: " + b"a" * 5700 + b"\r\n")
            time.sleep(0.02)
        assert_refused(bit_by_bit, 431)


def test_a_header_that_stops_half_way_is_408_and_silence_is_let_go_of(impatient: httpx.Client) -> None:
    with connect(impatient) as half, connect(impatient) as silent, connect(impatient) as second:
        half.sendall(b"GET / HTTP/1.1\r\nHost:")
        second.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert answer_of(second)[0] == 200
        second.sendall(b"GET / HT")
        assert_refused(half, 408)
        assert_refused(second, 408)
        assert silent.recv(1) == b""


def test_what_is_no_http_is_400(impatient: httpx.Client) -> None:
    for rubbish in (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", POST + b"Content-Length: many\r\n\r\n"):
        with connect(impatient) as sock:
            sock.sendall(rubbish)
            assert_refused(sock, 400)
    with connect(impatient) as sock:
        sock.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\nnot a length\r\n")
        assert answer_of(sock)[0] == 400
    assert_good_scans_go_through(impatient)


def test_a_broken_body_of_a_head_request_is_400_without_a_body(impatient: httpx.Client) -> None:
    with connect(impatient) as sock:
        sock.sendall(b"HEAD /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nno length\r\n")
        answer = sock.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")


def test_a_request_of_two_lengths_is_the_last_of_its_connection(impatient: httpx.Client) -> None:
    """Else a proxy that goes by the other length is made to pass on a request that nobody has looked at."""
    hidden = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    for order in (
        b"Content-Length: 5\r\nTransfer-Encoding: chunked",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    ):
        with connect(impatient) as sock:
            sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + order + b"\r\n\r\n0\r\n\r\n" + hidden)
            answers = sock.makefile("rb").read()
        assert answers.startswith(b"HTTP/1.1 200 ")
        assert answers.count(b"HTTP/1.1 ") == 1
        assert b"connection: close" in answers.lower()
    with connect(impatient) as sock:
        sock.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n" + hidden)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert sock.makefile("rb").read().count(b"HTTP/1.1 200 ") == 3  # one after the other, as ever


def test_a_body_that_goes_on_after_the_answer_is_let_go_of(impatient: httpx.Client) -> None:
    with connect(impatient) as sock:
        sock.sendall(b"GET /nothing HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        assert answer_of(sock)[0] == 404
        due = time.monotonic() + 20
        is_closed = False
        while not is_closed:
            assert time.monotonic() < due
            time.sleep(0.05)
            try:
                sock.sendall(b"1\r\na\r\n")
            except OSError:
                is_closed = True


def test_more_connections_than_are_allowed_are_told_to_come_back(impatient: httpx.Client) -> None:
    assert_good_scans_go_through(impatient)
    silent = [connect(impatient) for _ in range(MAX_CONNECTIONS)]
    with connect(impatient) as one_more:
        status, headers, _ = answer_of(one_more)
    assert (status, headers["retry-after"]) == (503, "1")
    for sock in silent:
        sock.close()
    time.sleep(0.1)
    assert_good_scans_go_through(impatient)


def test_a_body_that_is_too_large_is_413_whether_it_says_so_or_not(impatient: httpx.Client) -> None:
    with connect(impatient) as sock:
        sock.sendall(POST + b"Content-Length: 2000000\r\n\r\n" + b"a" * 2_000_000)
        assert answer_of(sock)[0] == 413
    chunks = (b"a" * 100_000 for _ in range(20))
    answer = impatient.post("/predict", content=chunks, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413


def test_a_picture_alone_is_a_scan_and_another_type_is_415(server: Server, phantom: Phantom) -> None:
    data = file_bytes(phantom.grey)
    masks = [
        server.post("/predict", content=data, headers={"Content-Type": content_type}).json()["img"]
        for content_type in ("image/png", "application/octet-stream", "application/x-www-form-urlencoded", "")
    ]
    masks.append(server.post("/predict", json={"img": as_base64(data)}).json()["img"])
    marked = codecs.BOM_UTF8 + json.dumps({"img": as_base64(data)}).encode()  # as PowerShell writes it
    json_type = {"Content-Type": "application/json"}
    masks.append(server.post("/predict", content=marked, headers=json_type).json()["img"])
    assert len(set(masks)) == 1
    for content_type in ("application/dicom", "image/tiff", "video/mp4", "application/xml"):
        refused = server.post("/predict", content=data, headers={"Content-Type": content_type})
        assert (refused.status_code, refused.headers["content-type"]) == (415, "application/problem+json")


def test_forms_that_cannot_be_read_are_400(server: Server) -> None:
    for parameters in ("", "; boundary=x", "; boundary=x; charset=rot13", "; boundary=" + "x" * 300):
        headers = {"Content-Type": "multipart/form-data" + parameters}
        answer = server.post("/predict", content=b"--x\r\nno form", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


def test_a_jpeg_of_thousands_of_passes_is_refused_unread(server: Server) -> None:
    data = file_bytes(np.full((4096, 4096), 255, np.uint8), "JPEG")
    passes = data[:-2] + b"\xff\xda\0\2" * 200 + data[-2:]
    started = time.monotonic()
    answer = server.post("/predict", content=passes, headers={"Content-Type": "image/jpeg"})
    assert answer.status_code == 422
    assert "passes" in answer.json()["detail"]
    assert time.monotonic() - started < 5


def test_a_slash_behind_a_route_is_no_way_around_by_another_scheme(server: Server, phantom: Phantom) -> None:
    scan = {"img": as_base64(file_bytes(phantom.grey))}
    answer = server.post("/predict/", json=scan)
    assert (answer.status_code, answer.json().keys()) == (200, {"img"})
    document = server.get("/openapi.json").json()
    for path in (*document["paths"], "/docs", "/ui", "/nothing", "/ui/assets/page.js"):
        for method in ("GET", "POST"):
            answer = httpx.request(
                method, f"{server.url}{path.rstrip('/')}/", headers={"Accept": "text/html"}
            )
            assert not answer.headers.get("location", "").startswith(("http", "//")), path
    assert server.get("/health/live/").status_code == 200
    assert server.get("/ui/").headers["location"] == "../ui"
    assert server.get("/nothing/").status_code == server.get("/predict//").status_code == 404


def test_answers_say_nothing_of_the_server_and_may_not_be_framed_or_kept(server: Server) -> None:
    for path in ("/", "/docs", "/nothing", "/health/ready"):
        headers = server.get(path).headers
        assert "server" not in headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "script-src" not in server.get("/nothing").headers["content-security-policy"]


def test_request_ids_go_in_and_out_but_nothing_strange_does(server: Server) -> None:
    def given(request_id: str) -> str:
        return str(httpx.get(server.url, headers={"X-Request-ID": request_id}).headers["x-request-id"])

    assert given("scan-7.b_2") == "scan-7.b_2"
    for strange in ("a b", "a" * 65, "{json}", "a\x1b[31m"):
        assert given(strange) != strange
        assert len(given(strange)) == 32
