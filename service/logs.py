"""The log: console and `logs/api.log`, uvicorn's lines included, one line a request."""

import logging
import sys
import time

from loguru import logger
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference.settings import Settings

LOG_FILE = "api.log"
LINE = "{time:YYYY-MM-DD HH:mm:ss.SSS} {level: <7} {message}"
ROTATION, RETENTION = "10 MB", 5


def configure_logging(settings: Settings) -> None:
    """Send everything to the console and to a rotated file; without a writable folder, to the console."""
    logger.remove()
    logger.add(sys.stderr, level=settings.log_level, format=LINE, backtrace=False, diagnose=False)
    path = settings.log_dir / LOG_FILE
    try:
        settings.log_dir.mkdir(parents=True, exist_ok=True)
        logger.add(
            path,
            level=settings.log_level,
            format=LINE,
            rotation=ROTATION,
            retention=RETENTION,
            backtrace=False,
            diagnose=False,
        )
    except OSError as error:
        logger.warning("no log file: {} cannot be written ({})", path, error.strerror)
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.INFO, force=True)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


class _ToLoguru(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in logger._core.levels else record.levelno  # type: ignore[attr-defined]
        logger.opt(exception=record.exc_info).log(level, record.getMessage())


class RequestLog:
    """ASGI middleware: one line a request with status, body size, time and findings, never content.

    It leaves the time of arrival in the request's state, from which deadlines count.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, and write its line when it is over."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        scope.setdefault("state", {})["arrived"] = time.monotonic()
        status, received = 0, 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            return message

        async def send_noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive_counted, send_noted)
        except Exception:
            status = 500
            raise
        finally:
            elapsed_ms = 1000 * (time.perf_counter() - started)
            findings = scope.get("state", {}).get("findings", "")
            logger.info(
                "{} {} {} {:.0f} kB {:.0f} ms {}",
                scope["method"],
                scope.get("raw_path", b"").decode("latin-1"),
                status or "no answer",
                received / 1000,
                elapsed_ms,
                findings,
            )
