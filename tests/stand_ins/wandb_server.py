"""A loopback server that the real W&B SDK takes for W&B: artifacts, files, runs, and faults on demand.

The SDK's network side is a Go process, so only the wire can be faked: `WANDB_BASE_URL` points it here.
"""

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from tests.stand_ins.wandb_graphql import GraphQL, operation_of
from tests.stand_ins.wandb_store import MANIFEST_FILE, Store, StoredRun

API_KEY = "0123456789" * 4
"""The key that the server takes: as long as W&B's own."""
ENTITY = "team"
CHUNK = 1 << 16
SILENCE_S = 600


@dataclass(frozen=True)
class Fault:
    """What goes wrong: with GraphQL requests, with artifacts' files (never their manifests), or with both.

    `status` is answered in place of the content; `seconds_a_chunk` passes before each 64 KiB (and each
    answer); `silent` is a server that takes a request and never answers; of a file, `cut_after` bytes
    are sent under the whole length, and `wrong_bytes` are as many as the right ones.
    """

    on: Literal["graphql", "files", "all"] = "all"
    status: int | None = None
    seconds_a_chunk: float = 0
    silent: bool = False
    cut_after: int | None = None
    wrong_bytes: bool = False

    def concerns(self, what: Literal["graphql", "files"]) -> bool:
        """Say whether a request is one of those that go wrong."""
        return self.on in (what, "all")


NO_FAULT = Fault()


class WandbServer:
    """W&B on a free loopback port, until it is closed; its state may be looked at and changed meanwhile."""

    def __init__(self, entity: str = ENTITY) -> None:
        self.store = Store(entity)
        self.fault = NO_FAULT
        self.file_faults: dict[str, Fault] = {}  # by entity/project/name, in place of `fault`
        self.operations: list[str] = []  # GraphQL operations, in the order of arrival
        self.downloads: list[str] = []  # paths of the artifacts' files that were asked for
        self.unknown: list[str] = []  # requests that the server has no answer to
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.wandb = self
        self.closing = threading.Event()
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self.graphql = GraphQL(self.store, self.url)
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def environment(self, home: Path, *, api_key: str | None = API_KEY) -> dict[str, str]:
        """Return the variables that point an SDK here and keep all that it writes under `home`."""
        variables = {
            "WANDB_BASE_URL": self.url,
            "WANDB_API_KEY": api_key or "",
            "WANDB_ENTITY": self.store.entity,
            "WANDB_DIR": str(home),
            "WANDB_CACHE_DIR": str(home / "wandb-cache"),
            "WANDB_CONFIG_DIR": str(home / "wandb-config"),
            "WANDB_DATA_DIR": str(home / "wandb-data"),
            "WANDB_ERROR_REPORTING": "false",
            "WANDB_X_DISABLE_UPDATE_CHECK": "true",
            "NETRC": str(home / "no-netrc"),
            "NO_PROXY": "127.0.0.1",
        }
        return variables

    def close(self) -> None:
        """Stop answering, also those who still wait; the port then refuses connections."""
        self.closing.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()


@contextmanager
def wandb_server(entity: str = ENTITY) -> Iterator[WandbServer]:
    """Run a server for as long as the context lasts."""
    server = WandbServer(entity)
    try:
        yield server
    finally:
        server.close()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    wandb: WandbServer

    def handle_error(self, *_: Any) -> None:
        """Leave clients that go away unmentioned."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def do_GET(self) -> None:
        wandb = self.server.wandb
        kind, *parts = self._path()
        if kind == "storage":
            content = self._stored(parts)
        elif kind == "artifactsV2":
            content = wandb.store.file_of_digest(parts[-2]) if self._has_key() else None
        else:
            self._unknown()
            return
        is_file = parts[-1] != MANIFEST_FILE
        if is_file:
            wandb.downloads.append("/".join(parts))
        fault = self._file_fault(kind, parts) if is_file else NO_FAULT
        if content is None:
            self._answer(404, b"no such file", fault)
        else:
            self._answer(200, content, fault)

    def do_PUT(self) -> None:
        content = self._body()
        wandb = self.server.wandb
        kind, *parts = self._path()
        fault = wandb.fault if wandb.fault.concerns("files") else NO_FAULT
        if kind != "storage":
            self._unknown()
            return
        if fault.status is None:
            self._keep(parts, content)
        self._answer(200, b"", fault)

    def do_POST(self) -> None:
        body = self._body()
        wandb = self.server.wandb
        fault = wandb.fault if wandb.fault.concerns("graphql") else NO_FAULT
        path = self._path()
        if not self._has_key():
            self._answer(401, b'{"errors": [{"message": "user is not logged in"}]}', fault)
        elif path == ["graphql"]:
            request = json.loads(body)
            operation = operation_of(request["query"])
            wandb.operations.append(operation)
            if not wandb.graphql.knows(operation):
                wandb.unknown.append(operation)
            answer = wandb.graphql.answer(request["query"], request.get("variables") or {})
            self._answer(200, json.dumps(answer).encode(), fault)
        elif path[0] == "files" and path[-1] == "file_stream":
            run = wandb.store.run(path[1], path[2], path[3])
            _take_stream(run, json.loads(body))
            self._answer(200, b"{}", fault)
        else:
            self._unknown()

    def _file_fault(self, kind: str, parts: list[str]) -> Fault:
        wandb = self.server.wandb
        if kind == "artifactsV2":
            collection = "/".join(parts[1:4])
        else:
            collection = wandb.store.artifact(parts[1]).collection if parts[0] == "artifacts" else ""
        fault = wandb.file_faults.get(collection, wandb.fault)
        return fault if fault.concerns("files") else NO_FAULT

    def _path(self) -> list[str]:
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _has_key(self) -> bool:
        expected = base64.b64encode(f"api:{API_KEY}".encode()).decode()
        return self.headers.get("Authorization") == f"Basic {expected}"

    def _stored(self, parts: list[str]) -> bytes | None:
        store = self.server.wandb.store
        if parts[0] == "runs":
            return store.run(parts[1], parts[2], parts[3]).files.get("/".join(parts[4:]))
        artifact = store.artifact(parts[1])
        if parts[2] == MANIFEST_FILE:
            return artifact.manifest
        return artifact.files.get("/".join(parts[3:]))

    def _keep(self, parts: list[str], content: bytes) -> None:
        store = self.server.wandb.store
        if parts[0] == "runs":
            store.run(parts[1], parts[2], parts[3]).files["/".join(parts[4:])] = content
        elif parts[2] == MANIFEST_FILE:
            store.artifact(parts[1]).manifest = content
        else:
            store.artifact(parts[1]).files["/".join(parts[3:])] = content

    def _unknown(self) -> None:
        self.server.wandb.unknown.append(f"{self.command} {self.path}")
        self._answer(404, b"the test server does not know this address", NO_FAULT)

    def _answer(self, status: int, content: bytes, fault: Fault) -> None:
        closing = self.server.wandb.closing
        if fault.silent:
            closing.wait(SILENCE_S)
            self.close_connection = True
            return
        if fault.status is not None:
            status, content = fault.status, b'{"errors": [{"message": "a fault of the test server"}]}'
        elif fault.wrong_bytes:
            content = bytes(byte ^ 0xFF for byte in content)
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        sent = content[: fault.cut_after]
        for start in range(0, max(1, len(sent)), CHUNK):
            if closing.wait(fault.seconds_a_chunk):
                break
            self.wfile.write(sent[start : start + CHUNK])
        if closing.is_set() or len(sent) < len(content):
            self.close_connection = True


def _take_stream(run: StoredRun, body: dict[str, Any]) -> None:
    """Take over what a run logs: history, summary and console lines, each at its offset."""
    for name, chunk in (body.get("files") or {}).items():
        offset, lines = chunk["offset"], chunk["content"]
        if name == "wandb-history.jsonl":
            run.history[offset:] = [json.loads(line) for line in lines]
        elif name == "wandb-summary.json":
            run.summary = json.loads(lines[-1])
        elif name == "output.log":
            run.console[offset:] = lines
    if body.get("complete"):
        run.exit_code = body.get("exitcode")
