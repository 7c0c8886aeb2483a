"""The log: console and `logs/api.log`, uvicorn's lines included, as lines of text or of JSON.

Whatever reaches it, an entry is one line (of text, with the frames of a fault below it), no longer than
`MOST_CHARACTERS`, without a key and without what an exception says: that may be a sender's text.
"""

import atexit
import json
import logging
import re
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

from loguru import logger

from inference.settings import Settings
from service.operation.flood import Flood

if TYPE_CHECKING:
    from loguru import Record

LOG_FILE = "api.log"
MAX_BYTES, KEPT_FILES = 10_000_000, 5
MOST_CHARACTERS = 2000
"""Of an entry's message; what is longer is cut."""

MOST_FRAMES, MOST_CAUSES = 30, 4
"""Of a fault, and of the faults that it followed from."""

OWN_FIELDS = ("kind", "passes", "line")
"""What an entry is given here for the others to see, and what is not written."""


def configure_logging(settings: Settings, *, to_file: bool = True) -> None:
    """Send everything to the console and to a rotated file; without a writable folder, to the console."""
    logger.remove()
    keys = [key.get_secret_value() for key in settings.api_key]
    spell = _as_json if settings.log_format == "json" else _as_text
    flood = Flood(lambda level, sentence: logger.bind(kind=None).log(level, "{}", sentence))
    atexit.register(flood.end)

    def prepare(record: "Record") -> None:
        extra, level = record["extra"], record["level"].name
        kind = extra.get("kind", (record["name"], record["line"]))
        passes = kind is None or flood.passes(kind, level)
        extra.update(passes=passes, line=redact(keys, spell(record)) if passes else "")

    logger.configure(patcher=prepare)
    options: dict[str, Any] = {
        "level": settings.log_level,
        "format": lambda _: "{extra[line]}\n",
        "filter": lambda record: record["extra"]["passes"],
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
    warnings.showwarning = _log_warning
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
    return f"{time:YYYY-MM-DD HH:mm:ss.SSS} {level:<7} {in_one_line(record['message'])}{_trace(record)}"


def _as_json(record: "Record") -> str:
    line = {
        "time": record["time"].isoformat(timespec="milliseconds"),
        "level": record["level"].name,
        "message": in_one_line(record["message"]),
        **{
            name: value
            for name, value in record["extra"].items()
            if value is not None and name not in OWN_FIELDS
        },
    }
    if record["exception"]:
        line["exception"] = _trace(record).lstrip()
    return json.dumps(line)


def _trace(record: "Record") -> str:
    if not (error := record["exception"]):
        return ""
    return "".join(f"\n{line}" for line in _frames(error.value, error.traceback))


def _frames(error: BaseException | None, trace: TracebackType | None, causes: int = 0) -> Iterator[str]:
    """Give types and frames of a fault, and of those that it followed from, without what they say."""
    if error is None:
        return
    followed_from = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if followed_from is not None and causes < MOST_CAUSES:
        yield from _frames(followed_from, followed_from.__traceback__, causes + 1)
    yield "Traceback (most recent call last):"
    for frame in traceback.format_list(traceback.extract_tb(trace, limit=-MOST_FRAMES)):
        yield frame.rstrip()
    yield f"{type(error).__module__}.{type(error).__qualname__}"
    if isinstance(error, BaseExceptionGroup) and causes < MOST_CAUSES:
        for part in error.exceptions[:MOST_CAUSES]:
            yield from _frames(part, part.__traceback__, causes + 1)


def in_one_line(text: str) -> str:
    """Return a text without control characters, as Python escapes them, and cut where it is too long."""
    cut = text if len(text) <= MOST_CHARACTERS else f"{text[:MOST_CHARACTERS]}… ({len(text):,} characters)"
    if cut.isprintable():
        return cut
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in cut
    )


def redact(keys: Sequence[str], text: str) -> str:
    """Take keys out of a text, in whatever letters, and as an address or a form may spell them."""
    for key in keys:
        text = _spellings(key).sub("[key]", text)
    return text


@cache
def _spellings(key: str) -> re.Pattern[str]:
    """Return what finds a key in small or capital letters, each of which may be written as %41."""
    letters = (
        f"(?:{re.escape(letter)}|%{ord(letter.lower()):02x}|%{ord(letter.upper()):02x})" for letter in key
    )
    return re.compile("".join(letters), re.IGNORECASE)


def _log_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Log a library's warning as its type and place: what it says may be a sender's text."""
    logger.bind(kind=(category.__name__, filename, lineno)).warning(
        "{} in {}:{}", category.__name__, Path(filename).name, lineno
    )


class _ToLoguru(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname if record.levelname in logger._core.levels else record.levelno  # type: ignore[attr-defined]
        told = logger.bind(kind=(record.name, record.levelname, record.lineno))
        told.opt(exception=record.exc_info).log(level, "{}", record.getMessage())
