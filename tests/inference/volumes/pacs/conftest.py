"""A server in a PACS' place for what Orthanc never does: other faults, other pages, other addresses."""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest


@dataclass
class Answer:
    """What is answered to a request; a `silent` server reads it, and waits until the test ends."""

    status: int = 200
    body: bytes = b"[]"
    kind: str = "application/dicom+json"
    headers: dict[str, str] = field(default_factory=dict)
    silent: bool = False


@dataclass(frozen=True)
class Request:
    """What was asked: path and query, and two headers."""

    path: str
    authorization: str | None
    accept: str | None


class Answering:
    """A server that answers each request as a function says, and remembers what it was asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Callable[[Request], Answer] = lambda _: Answer()
        self.ended = threading.Event()
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())

    @property
    def authority(self) -> str:
        """Return host and port."""
        return f"127.0.0.1:{self.http.server_address[1]}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        answering = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                request = Request(self.path, self.headers["Authorization"], self.headers["Accept"])
                answering.requests.append(request)
                answer = answering.answer(request)
                if answer.silent:
                    answering.ended.wait()
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                headers = {"Content-Type": answer.kind, "Content-Length": str(len(answer.body))}
                for name, value in (headers | answer.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                pass

        return Handler


@contextmanager
def running(server: Answering) -> Iterator[Answering]:
    thread = threading.Thread(target=server.http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.http.shutdown()
        server.http.server_close()


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> Iterator[Answering]:
    monkeypatch.setattr("inference.volumes.pacs.session.WAITS_S", (0.01, 0.01))
    with running(Answering()) as server:
        yield server


def as_part(content: bytes) -> Answer:
    """Return a DICOM file as WADO-RS answers it."""
    body = io.BytesIO()
    body.write(b"--end\r\nContent-Type: application/dicom\r\n\r\n" + content + b"\r\n--end--\r\n")
    return Answer(body=body.getvalue(), kind='multipart/related; type="application/dicom"; boundary=end')
