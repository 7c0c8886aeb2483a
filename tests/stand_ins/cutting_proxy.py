"""A TCP proxy that cuts connections after some bytes, as networks do."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal
from urllib.parse import urlsplit

Way = Literal["requests", "answers"]


class CuttingProxy:
    """Passes on what clients and one server say; `cut` makes it break off on one way."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._lock = threading.Lock()
        self._way: Way | None = None
        self._left = self._cuts = 0
        self.cut_off = 0
        self.passed: dict[Way, int] = {"requests": 0, "answers": 0}
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Return where it listens."""
        return int(self._listener.getsockname()[1])

    def cut(self, way: Way, *, after: int, times: int = 1) -> None:
        """Pass on as many bytes on a way, and then break off as many times as soon as there is more."""
        with self._lock:
            self._way, self._left, self._cuts, self.cut_off = way, after, times, 0

    def close(self) -> None:
        """Take no further connections."""
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                for way, source, target in (("requests", client, server), ("answers", server, client)):
                    threading.Thread(target=self._pass_on, args=(way, source, target), daemon=True).start()

    def _pass_on(self, way: Way, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(4096):
                allowed = self._allowed(way, len(data))
                target.sendall(data[:allowed])
                if allowed < len(data):
                    break
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _allowed(self, way: Way, size: int) -> int:
        with self._lock:
            self.passed[way] += size
            if way != self._way or self.cut_off >= self._cuts:
                return size
            allowed = min(size, self._left)
            self._left -= allowed
            self.cut_off += allowed < size
            return allowed


@contextmanager
def cutting_proxy(url: str) -> Iterator[CuttingProxy]:
    """Run a proxy before a server, for as long as it is needed."""
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    proxy = CuttingProxy((parts.hostname, parts.port))
    try:
        yield proxy
    finally:
        proxy.close()
