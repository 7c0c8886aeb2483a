"""The one file of findings: a line a scan, on disk as soon as it is made, and read again to resume."""

import csv
import io
import json
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Protocol

from loguru import logger

from inference.atomic_write import write_atomically
from inference.errors import ScanError
from inference.report.description import ScanFindings
from inference.volumes.measurement import MEASURED

ENCODING = ("utf-8", "surrogateescape")
"""Of names as the file system has them, whatever their bytes."""

Format = Literal["csv", "jsonl"]
Row = dict[str, Any]

COLUMNS = (
    "scan",
    "tumor_detected",
    "tumor_probability",
    "tumor_area_px",
    "tumor_fraction",
    "lesions",
    *MEASURED,
    "disagreement",
    "warnings",
    "fingerprint",
    "error",
)

FORMULA = re.compile(r"'*[=+\-@\t\r]")
"""How a text begins that a spreadsheet would compute, and one that has been kept from that."""


def success(
    scan: str, findings: ScanFindings, fingerprint: str | None = None, warnings: tuple[str, ...] = ()
) -> Row:
    """Return what was found on a scan; the units of a volume's lesions stand with the lesions.

    The fingerprint tells the scan's content, and what segmented it, from all others. The warnings are
    those of what was written beside the findings.
    """
    found = findings.model_dump(mode="json")
    measures = found["measures"] or {}
    units = measures.get("lesions", [{}] * len(found["lesions"]))
    row = found | measures
    row |= {"warnings": [*found["warnings"], *warnings]}
    row |= {"scan": scan, "tumor_fraction": round(findings.tumor_fraction, 6), "fingerprint": fingerprint}
    row |= {"lesions": [lesion | unit for lesion, unit in zip(found["lesions"], units, strict=True)]}
    return {name: row.get(name) for name in COLUMNS}


def failure(scan: str, reason: str) -> Row:
    """Return what is said of a scan that could not be segmented."""
    return dict.fromkeys(COLUMNS) | {"scan": scan, "error": " ".join(reason.split())}


def reason_of(error: Exception, scan: object) -> str:
    """Return why a scan could not be segmented, in a sentence."""
    if isinstance(error, ScanError):
        return str(error)
    if isinstance(error, OSError):
        return error.strerror or str(error)
    logger.opt(exception=error).debug("{} could not be segmented", scan)
    return f"it could not be segmented ({type(error).__name__}: {error})"


class Lines(Protocol):
    """How rows are written, a line each, and read again."""

    head: str
    fields: tuple[str, ...]

    def line(self, row: Row) -> str:
        """Return a row as one line, its end included."""
        ...

    def rows(self, text: str) -> Iterable[Row]:
        """Return the rows of whole lines; `scan` and `error` of each are as they were written.

        Raises `ValueError` where a line is none of a row.
        """
        ...


class CsvLines:
    """CSV: `lesions` is their number, and a further column holds them as JSON.

    The name of a scan that a spreadsheet would take for a formula has an apostrophe before it.
    """

    fields: tuple[str, ...] = (*COLUMNS[:-1], "lesion_list", COLUMNS[-1])
    head = ",".join(fields) + "\n"

    def line(self, row: Row) -> str:
        """Return a row as one line, its end included."""
        text = io.StringIO()
        quoted = f"'{row['scan']}" if FORMULA.match(row["scan"]) else row["scan"]
        csv.DictWriter(text, self.fields, lineterminator="\n").writerow(self.flat(row) | {"scan": quoted})
        return text.getvalue()

    def rows(self, text: str) -> Iterable[Row]:
        """Return the rows of whole lines, as they are written again."""
        csv.field_size_limit(sys.maxsize)  # a list of many lesions is longer than the usual limit
        for row in csv.DictReader(io.StringIO(text, newline=""), self.fields, restkey="too many"):
            if None in row.values():
                raise ValueError("a row has too few columns")
            name = row["scan"]
            yield row | {"scan": name[1:] if name.startswith("'") and FORMULA.match(name) else name}

    def flat(self, row: Row) -> Row:
        """Return a row with plain values in its columns, and with those that only CSV has."""
        if not isinstance(row["lesions"], list):
            return row
        return row | {
            "lesions": len(row["lesions"]),
            "lesion_list": json.dumps(row["lesions"]),
            "warnings": "; ".join(row["warnings"]),
        }


class JsonLines:
    """JSON Lines: every line is an object."""

    fields: tuple[str, ...] = COLUMNS
    head = ""

    def line(self, row: Row) -> str:
        """Return a row as one line, its end included."""
        return json.dumps(row) + "\n"

    def rows(self, text: str) -> Iterable[Row]:
        """Return the rows of whole lines."""
        return [json.loads(line) for line in text.splitlines()]


FORMATS: dict[Format, Lines] = {"csv": CsvLines(), "jsonl": JsonLines()}


class FindingsFile:
    """`findings.csv` or `findings.jsonl` in a folder of results."""

    def __init__(self, folder: Path, findings_format: Format) -> None:
        self.path = folder / f"findings.{findings_format}"
        self.lines = FORMATS[findings_format]

    def start(self, kept: Iterable[Row] = ()) -> None:
        """Begin anew, with the rows that are kept of an earlier run."""
        text = self.lines.head + "".join(self.lines.line(row) for row in kept)
        write_atomically(self.path, text.encode(*ENCODING))

    def add(self, row: Row) -> None:
        """Write a row to the file's end."""
        with self.path.open("ab") as file:
            file.write(self.lines.line(row).encode(*ENCODING))

    def read(self) -> list[Row]:
        """Return the rows that an earlier run has written whole; of one scan's, the last.

        Raises `ScanError` where the file is not one of this version's.
        """
        if not self.path.exists():
            return []
        text = self.path.read_bytes().decode(*ENCODING)
        whole = text[: text.rfind("\n") + 1]
        if not whole.startswith(self.lines.head):
            raise ScanError(f"{self.path} has other columns: leave out --resume, or name another --out")
        try:
            rows = list(self.lines.rows(whole.removeprefix(self.lines.head)))
            if not all(self._is_row(row) for row in rows):
                raise ValueError("a row is none of this version's")
            return list({row["scan"]: row for row in rows}.values())
        except (ValueError, csv.Error):
            raise ScanError(f"{self.path} is damaged: leave out --resume, or name another --out") from None

    def _is_row(self, row: object) -> bool:
        return isinstance(row, dict) and row.keys() == set(self.lines.fields) and isinstance(row["scan"], str)
