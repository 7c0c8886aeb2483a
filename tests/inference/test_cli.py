import csv
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.__main__ import _scans_in, main, segment
from tests.conftest import ROOT, run_script
from utils import validate_segmentation


def test_segment_writes_masks_overlays_and_findings_and_reports_bad_files(tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    scan = ROOT / "samples" / "phantom_1.png"
    ended = run_script("-m", "inference", "segment", scan, bad, "--out", tmp_path / "out")
    assert ended.returncode == 1
    assert "neither a PNG nor a JPEG" in ended.stderr
    mask = np.asarray(Image.open(tmp_path / "out" / "phantom_1_mask.png"))
    validate_segmentation(np.asarray(Image.open(scan)), mask)
    assert (tmp_path / "out" / "phantom_1_overlay.png").exists()
    with (tmp_path / "out" / "findings.csv").open() as file:
        good, failed = list(csv.DictReader(file))
    assert int(good["tumor_area_px"]) == (mask[..., 0] > 0).sum()
    assert failed["scan"] == "bad.png"
    assert failed["error"]


def test_segment_takes_the_scans_of_a_folder_and_not_their_labels(tmp_path: Path) -> None:
    segment([ROOT / "samples"], tmp_path)
    assert {path.name for path in tmp_path.glob("*_mask.png")} == {"phantom_1_mask.png", "phantom_2_mask.png"}


def test_export_does_not_overwrite_the_folds_that_it_reads(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (ROOT / "models" / "ensemble.json").read_text()
    monkeypatch.setenv("MODELS_DIR", str(ROOT / "models"))
    monkeypatch.setattr(sys, "argv", ["inference", "export", str(ROOT / "models")])
    assert main() == 1
    assert "is the folder that the folds come from: name another" in capsys.readouterr().err
    assert (ROOT / "models" / "ensemble.json").read_text() == before


def test_segment_does_not_segment_what_it_wrote(tmp_path: Path) -> None:
    for name in ("scan.png", "scan_mask.png", "scan_overlay.png", "other_mask.png"):
        (tmp_path / name).touch()
    assert [path.name for path in _scans_in(tmp_path)] == ["other_mask.png", "scan.png"]


def test_findings_are_on_disk_as_soon_as_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[int] = []

    def count_lines(_: object, __: Path, out: Path) -> dict[str, object]:
        lines.append(len((out / "findings.csv").read_text().splitlines()))
        return {}

    monkeypatch.setattr("inference.__main__._segment", count_lines)
    segment([ROOT / "samples"], tmp_path)
    assert lines == [1, 2]  # the header, then a line for every scan before this one


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nothing.png"], "nothing.png does not exist"),
        (["empty"], "there is no PNG or JPEG file in empty"),
        ([str(ROOT / "samples" / "phantom_1.png"), "--out", "file"], "File exists: 'file'"),
    ],
    ids=["missing", "empty folder", "out is a file"],
)
def test_what_cannot_be_done_is_one_sentence(
    arguments: list[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MODELS_DIR", str(ROOT / "models"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["inference", "segment", *arguments])
    assert main() == 1
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert sentence.startswith("error: ")
    assert reason in sentence
