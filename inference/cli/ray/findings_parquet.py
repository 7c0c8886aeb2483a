"""The findings of a cluster as Parquet: a row a scan, kept in parts until all are there."""

import io
import time
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from inference.cli.ray.object_storage import StorageFolder
from inference.cli.results.findings_file import CsvLines, Row
from inference.errors import ScanError
from inference.volumes.measurement import MEASURED

FILE = "findings.parquet"
PARTS = "findings.parts"
ROWS_A_PART = 500
SECONDS_A_PART = 15.0
"""What a run that is cut off loses at most is segmented again."""

TYPES: dict[str, pa.DataType] = {
    "scan": pa.string(),
    "tumor_detected": pa.bool_(),
    "tumor_probability": pa.float64(),
    "tumor_area_px": pa.int64(),
    "tumor_fraction": pa.float64(),
    "lesions": pa.int64(),
    **dict.fromkeys(MEASURED, pa.float64()),
    "disagreement": pa.float64(),
    "warnings": pa.string(),
    "fingerprint": pa.string(),
    "lesion_list": pa.string(),
    "error": pa.string(),
}
SCHEMA = pa.schema([(name, TYPES[name]) for name in CsvLines.fields])
"""The columns of findings.csv, in their order, with types."""


class FindingsParquet:
    """`findings.parquet` in a folder of results, and while a run goes on the parts it is made of.

    One process writes it. Of two rows of one scan the later counts, so that a part that was written twice
    does no harm; the file itself has every scan once.
    """

    def __init__(self, store: StorageFolder) -> None:
        self.store = store
        self._rows: list[dict[str, Any]] = []
        self._written = time.monotonic()
        self._parts: list[str] = []

    def start(self, *, resume: bool) -> dict[str, str]:
        """Return the fingerprints of the scans that an earlier run has done; without `resume`, begin anew.

        Raises `ScanError` where the earlier findings are not of this version.
        """
        self._parts = self._listed()
        if not resume:
            for name in (*self._parts, *([FILE] if self.store.has(FILE) else [])):
                self.store.delete(name)
            self._parts = []
        return {
            row["scan"]: row["fingerprint"]
            for table in self._latest(["scan", "fingerprint", "error"])
            for row in table.to_pylist()
            if row["error"] is None and row["fingerprint"] is not None
        }

    def add(self, row: Row) -> None:
        """Take a row on; every few seconds what there is is written as a part."""
        self._rows.append(CsvLines().flat(row))
        if len(self._rows) >= ROWS_A_PART or time.monotonic() - self._written > SECONDS_A_PART:
            self.flush()

    def flush(self) -> None:
        """Write what has been taken on; raises `OSError`."""
        self._written = time.monotonic()
        if not self._rows:
            return
        last = int(self._parts[-1].rpartition("/")[2].partition(".")[0]) if self._parts else 0
        name = f"{PARTS}/{last + 1:06d}.parquet"
        self.store.write(name, _file_of(pa.Table.from_pylist(self._rows, SCHEMA)))
        self._parts.append(name)
        self._rows = []

    def finish(self) -> None:
        """Make the one file of all parts, and take them away; raises `OSError`."""
        self.flush()
        tables = list(self._latest(SCHEMA.names))
        everything = pa.concat_tables(tables) if tables else SCHEMA.empty_table()
        self.store.write(FILE, _file_of(everything.sort_by("scan")))
        for name in self._parts:
            self.store.delete(name)
        self._parts = []

    def _listed(self) -> list[str]:
        try:
            files = StorageFolder(f"{self.store.place.rstrip('/')}/{PARTS}").files()
        except ScanError:
            return []
        return sorted(f"{PARTS}/{file.name}" for file in files if file.name.endswith(".parquet"))

    def _latest(self, columns: list[str]) -> Iterator[pa.Table]:
        """Yield the rows of file and parts, of each scan the latest."""
        seen: set[str] = set()
        for name in (*reversed(self._parts), FILE):
            if (content := self.store.read_if_there(name)) is None:
                continue
            try:
                table = pq.read_table(io.BytesIO(content), columns=columns)
                if not table.schema.equals(pa.schema([SCHEMA.field(column) for column in columns])):
                    raise pa.ArrowInvalid("other columns")
            except pa.ArrowInvalid:
                raise ScanError(
                    f"{name} in {self.store.place} is damaged or of another version: leave out --resume, or "
                    "name another --out"
                ) from None
            scans = table["scan"].to_pylist()
            yield table.filter(pa.array([scan not in seen for scan in scans], pa.bool_()))
            seen.update(scans)


def _file_of(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()
