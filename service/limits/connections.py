"""A connection: uvicorn's, with limits to header, silence and number, and with problems for answers."""

import asyncio
import re
import sys
from http import HTTPStatus

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from service.operation.metrics import Metrics
from service.problems import REASONS, problem

HEADER_BYTES = 16 * 1024
HEADER_TIMEOUT_S = 10
"""How long a request's header may take, and the rest of a body whose request is answered already."""

END_OF_HEADER = re.compile(rb"\n\r?\n")


class ConnectionConfig(uvicorn.Config):
    """uvicorn's settings, and what a connection here needs beside them."""

    max_connections: int
    metrics: Metrics


class Connection(H11Protocol):
    """HTTP/1.1 that nobody can hold open by sending little, and no header fills the memory of."""

    config: ConnectionConfig
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, or refuse where there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.config.max_connections:
            detail = "there are too many connections: try again in a moment"
            self._refuse(503, detail, reason="connections", retry_after_s=1)
        else:
            self._limit_silence()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what came; a header that is too long is refused before it is parsed."""
        if self.conn.their_state is h11.IDLE:
            header = self.conn.trailing_data[0] + data
            if len(header) > HEADER_BYTES and not END_OF_HEADER.search(header, 0, HEADER_BYTES):
                self._refuse_header()
                return
        super().data_received(data)
        self._limit_silence()

    def handle_events(self) -> None:
        """Take what has been parsed; behind a request of two lengths nothing is read as the next one.

        Source: RFC 9112, 6.1: with Transfer-Encoding beside Content-Length the connection is closed, lest a
        proxy that goes by the other one is made to forward a request that nobody has looked at.
        """
        super().handle_events()
        if self.cycle is not None and not self.cycle.response_complete:
            names = {name for name, _ in self.headers}
            if {b"content-length", b"transfer-encoding"} <= names:
                self.cycle.default_headers = [*self.cycle.default_headers, (b"connection", b"close")]

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP; uvicorn calls this while it handles h11's error."""
        error = sys.exc_info()[1]
        if getattr(error, "error_status_hint", 400) == 431:
            self._refuse_header()
        else:
            self._refuse(400, "this is no HTTP request that can be read")

    def _limit_silence(self) -> None:
        """Run the timer while a header, or the rest of an answered request's body, is awaited."""
        if self.transport.is_closing() or not self._is_awaiting():
            self._stop_timer()
        elif self._timer is None:
            self._timer = self.loop.call_later(HEADER_TIMEOUT_S, self._on_silence)

    def _is_awaiting(self) -> bool:
        answered = self.conn.our_state in (h11.DONE, h11.MUST_CLOSE)
        return self.conn.their_state is h11.IDLE or (answered and self.conn.their_state is h11.SEND_BODY)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_silence(self) -> None:
        self._timer = None
        if self.conn.their_state is h11.IDLE and self.conn.trailing_data[0]:
            self._refuse(408, f"the request's header was not here within {HEADER_TIMEOUT_S} s")
        else:
            self.transport.close()

    def _refuse_header(self) -> None:
        self._refuse(431, f"the request's header is longer than {HEADER_BYTES // 1024} kB")

    def _refuse(
        self, status: int, detail: str, *, reason: str | None = None, retry_after_s: int | None = None
    ) -> None:
        """Answer with a problem where an answer is still possible, and close."""
        self.config.metrics.refused.labels(reason or REASONS[status]).inc()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = bytes(problem(status, detail).body)
            is_head = self.conn.our_state is h11.SEND_RESPONSE and self.scope["method"] == "HEAD"
            headers = [
                ("Content-Type", "application/problem+json"),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ]
            if retry_after_s is not None:
                headers.append(("Retry-After", str(retry_after_s)))
            start = h11.Response(status_code=status, headers=headers, reason=HTTPStatus(status).phrase)
            for event in (start, h11.Data(data=b"" if is_head else body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # what the app still answers would break on h11's state
            self.cycle.message_event.set()
        self._stop_timer()
        self.transport.close()
