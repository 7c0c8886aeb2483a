import csv
import json
from pathlib import Path

import pytest

from inference.cli.findings_file import FindingsFile, Format, failure
from inference.errors import ScanError

FORMATS: tuple[Format, ...] = ("csv", "jsonl")


@pytest.mark.parametrize("findings_format", FORMATS)
def test_rows_come_back_and_a_torn_line_does_not(tmp_path: Path, findings_format: Format) -> None:
    """Wherever the writing was cut off, all rows before are read, and none that is not whole."""
    findings = FindingsFile(tmp_path, findings_format)
    scans = ["a.png", 'with "quotes", commas.png', "\udcff.png"]
    findings.start()
    ends = [findings.path.stat().st_size]
    for scan in scans:
        findings.add(failure(scan, "it is\nno scan"))
        ends.append(findings.path.stat().st_size)
    whole = findings.path.read_bytes()
    for cut in sorted({*range(ends[0], len(whole), 9), *ends, *(end - 1 for end in ends[1:])}):
        findings.path.write_bytes(whole[:cut])
        rows = findings.read()
        assert [row["scan"] for row in rows] == scans[: sum(end <= cut for end in ends[1:])]
    assert [row["error"] for row in rows] == ["it is no scan"] * 3
    findings.start(rows)
    assert findings.path.read_bytes() == whole


def test_of_a_scan_that_stands_twice_the_last_row_counts(tmp_path: Path) -> None:
    findings = FindingsFile(tmp_path, "csv")
    findings.start()
    for reason in ("first", "second"):
        findings.add(failure("a.png", reason))
    assert [row["error"] for row in findings.read()] == ["second"]


@pytest.mark.parametrize(
    ("findings_format", "content"), [("csv", "scan,dice\na.png,1\n"), ("jsonl", "{]\n"), ("jsonl", "3\n")]
)
def test_a_file_of_something_else_is_not_resumed(
    tmp_path: Path, findings_format: Format, content: str
) -> None:
    findings = FindingsFile(tmp_path, findings_format)
    findings.path.write_text(content)
    with pytest.raises(ScanError, match="leave out --resume"):
        findings.read()


def test_both_formats_say_the_same(tmp_path: Path) -> None:
    lesion = {"id": 1, "area_px": 7}
    row = failure("a.png", "") | {"lesions": [lesion], "warnings": ["one", "two"], "error": None}
    files = [FindingsFile(tmp_path, findings_format) for findings_format in FORMATS]
    for file in files:
        file.start()
        file.add(row)
    with files[0].path.open(newline="") as text:
        (as_csv,) = csv.DictReader(text)
    assert (as_csv["lesions"], json.loads(as_csv["lesion_list"])) == ("1", [lesion])
    assert (as_csv["warnings"], as_csv["error"]) == ("one; two", "")
    assert json.loads(files[1].path.read_text()) == row
