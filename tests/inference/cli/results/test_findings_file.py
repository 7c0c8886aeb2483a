import csv
import json
from pathlib import Path

import pytest

from inference.cli.results.findings_file import CsvLines, FindingsFile, Format, JsonLines, failure
from inference.errors import ScanError

FORMATS: tuple[Format, ...] = ("csv", "jsonl")


@pytest.mark.parametrize("findings_format", FORMATS)
def test_rows_come_back_and_a_torn_line_does_not(tmp_path: Path, findings_format: Format) -> None:
    """Wherever the writing was cut off, all rows before are read, and none that is not whole."""
    findings = FindingsFile(tmp_path, findings_format)
    scans = ["a.png", 'with "quotes", commas.png', "\udcff.png", "=HYPERLINK(1).png", "'=1.png", "'a.png"]
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
    assert [row["error"] for row in rows] == ["it is no scan"] * len(scans)
    findings.start(rows)
    assert findings.path.read_bytes() == whole


def test_of_a_scan_that_stands_twice_the_last_row_counts(tmp_path: Path) -> None:
    findings = FindingsFile(tmp_path, "csv")
    findings.start()
    for reason in ("first", "second"):
        findings.add(failure("a.png", reason))
    assert [row["error"] for row in findings.read()] == ["second"]


@pytest.mark.parametrize(
    ("findings_format", "content"),
    [
        ("csv", "scan,dice\na.png,1\n"),
        ("csv", CsvLines.head + "a.png" + "," * len(CsvLines.fields) + "\n"),
        ("csv", CsvLines.head + "a.png,1\n"),
        ("jsonl", "{]\n"),
        ("jsonl", "3\n"),
        ("jsonl", '{"scan": "a"}\n'),
        ("jsonl", JsonLines().line(failure("a", "") | {"scan": 3})),
    ],
)
def test_a_file_of_something_else_is_not_resumed(
    tmp_path: Path, findings_format: Format, content: str
) -> None:
    findings = FindingsFile(tmp_path, findings_format)
    findings.path.write_text(content)
    with pytest.raises(ScanError, match="leave out --resume"):
        findings.read()


def test_no_name_of_a_scan_is_a_formula(tmp_path: Path) -> None:
    findings = FindingsFile(tmp_path, "csv")
    findings.start()
    for name in ("=HYPERLINK(1).png", "+1.png", "-1.png", "@a.png", "\ta.png"):
        findings.add(failure(name, ""))
    with findings.path.open(newline="") as text:
        assert all(row["scan"].startswith("'") for row in csv.DictReader(text))


def test_a_row_of_very_many_lesions_comes_back(tmp_path: Path) -> None:
    findings = FindingsFile(tmp_path, "csv")
    findings.start()
    findings.add(failure("a.png", "") | {"lesions": [{"id": 1}] * 20_000, "warnings": []})
    assert [row["lesions"] for row in findings.read()] == ["20000"]


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
