"""The log: console and `logs/api.log`, uvicorn's lines included, as lines of text or of JSON."""

import json
import logging
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any

from loguru import logger

from inference.settings import Settings

if TYPE_CHECKING:
    from loguru import Record

LOG_FILE = "api.log"
MAX_BYTES, KEPT_FILES = 10_000_000, 5


def configure_logging(settings: Settings, *, to_file: bool = True) -> None:
    """Send everything to the console and to a rotated file; without a writable folder, to the console."""
    logger.remove()
    keys = [key.get_secret_value() for key in settings.api_key]
    spell = _as_json if settings.log_format == "json" else _as_text
    logger.configure(patcher=lambda record: record["extra"].update(line=_without(keys, spell(record))))
    options: dict[str, Any] = {
        "level": settings.log_level,
        "format": lambda _: "{extra[line]}\n",
        "backtrace": False,
        "diagnose": False,
    }
    logger.add(sys.stderr, **options)
    path = settings.log_dir / LOG_FILE
    try:
        if to_file:
            settings.log_dir.mkdir(parents=True, exist_ok=True)
            logger.add(LogFile(path, maxBytes=MAX_BYTES, backupCount=KEPT_FILES, encoding="utf-8"), **options)
    except OSError as error:
        logger.warning("no log file: {} cannot be written ({})", path, error.strerror)
    logging.basicConfig(handlers=[_ToLoguru()], level=logging.INFO, force=True)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # its warnings quote a bad form's bytes
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True


class LogFile(RotatingFileHandler):
    """A rotated file that the service can run without: a full disk costs lines, and is told once."""

    is_failing = False
    terminator = ""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line as it is spelt already."""
        return record.getMessage()

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line where that can be done."""
        self.has_failed = False
        super().emit(record)
        if self.is_failing and not self.has_failed:
            sys.stderr.write(f"the log file {self.baseFilename} can be written again\n")
        self.is_failing = self.has_failed

    def close(self) -> None:
        """End, with or without the last lines."""
        with suppress(OSError):
            super().close()

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say so on the console, the first time."""
        self.has_failed = True
        if not self.is_failing:
            reason = getattr(sys.exc_info()[1], "strerror", None) or "unknown reason"
            sys.stderr.write(f"the log goes to the console alone: {self.baseFilename}: {reason}\n")


def _as_text(record: "Record") -> str:
    time, level = record["time"], record["level"].name
    return f"{time:YYYY-MM-DD HH:mm:ss.SSS} {level:<7} {record['message']}{_trace(record)}"


def _as_json(record: "Record") -> str:
    line = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "message": record["message"],
        **{name: value for name, value in record["extra"].items() if value is not None},
    }
    if record["exception"]:
        line["exception"] = _trace(record).lstrip()
    return json.dumps(line)


def _trace(record: "Record") -> str:
    if not (error := record["exception"]):
        return ""
    return "\n" + "".join(traceback.format_exception(error.type, error.value, error.traceback)).rstrip()


def _without(keys: Sequence[str], line: str) -> str:
    """Take keys out of a line, however they got there."""
    for key in keys:
        line = line.replace(key, "[key]")
    return line


class _ToLoguru(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in logger._core.levels else record.levelno  # type: ignore[attr-defined]
        logger.opt(exception=record.exc_info).log(level, record.getMessage())
