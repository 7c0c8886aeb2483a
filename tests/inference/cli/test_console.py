"""What commands print can be read on a terminal, whatever files are called."""

from pathlib import Path

from inference.cli.console import printable
from tests.conftest import ROOT, run_script

HOSTILE = "a\x1b]0;title\x07\x1b[2J\nerror: forged\u202e.png"


def test_a_files_name_is_escaped_wherever_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / HOSTILE).write_bytes(b"no scan")
    (tmp_path / "scans" / "good.png").write_bytes((ROOT / "samples" / "phantom_1.png").read_bytes())
    segment = ("-m", "inference", "segment")
    for asked in (tmp_path / "scans", tmp_path / "scans" / HOSTILE, tmp_path / f"no {HOSTILE}"):
        ended = run_script(*segment, asked, "--out", tmp_path / "out" / str(len(str(asked))))
        told = ended.stderr + ended.stdout
        assert r"\x1b[2J\nerror: forged\u202e.png" in told, told
        assert all(line.isprintable() for line in told.split("\n")), told
        assert not any(line.startswith("error: forged") for line in told.split("\n"))


def test_what_can_be_printed_is_left_as_it_is() -> None:
    assert (
        printable("Überweisung 7 (2).nii.gz: it is cut short") == "Überweisung 7 (2).nii.gz: it is cut short"
    )
    assert printable("\udcff\t\r\x9b") == r"\udcff\t\r\x9b"
