"""What `--resume` takes for done, and what a run leaves of the one before."""

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.atomic_write import write_png
from inference.cli.app import main
from inference.cli.results.folder_lock import locked
from inference.ensemble import Ensemble
from inference.errors import ResultsError
from inference.findings import FEATURES, Classifier
from inference.preparation import FloatMap
from tests.inference.cli.conftest import DarkEngine
from training.phantoms.drawing import make_phantom


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    return phantom(tmp_path / "scan.png", 1)


def phantom(path: Path, seed: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    write_png(path, make_phantom(seed, size=(120, 96)).grey)
    return path


def mask(folder: Path) -> np.ndarray:
    return np.asarray(Image.open(folder / "scan_mask.png"))


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "findings.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def count_passes(engine: DarkEngine) -> list[None]:
    passes: list[None] = []
    engine.on_pass = lambda views: passes.append(None)  # type: ignore[method-assign]
    return passes


def test_another_scan_of_the_same_name_is_not_done(
    tmp_path: Path, out: Path, ensemble: Ensemble, engine: DarkEngine
) -> None:
    first, other = phantom(tmp_path / "a" / "scan.png", 1), phantom(tmp_path / "b" / "scan.png", 2)
    os.utime(other, (0, 0))  # older than any mask
    assert main(["segment", str(first), "--out", str(out)]) == 0
    assert main(["segment", str(other), "--out", str(tmp_path / "alone")]) == 0
    assert (mask(out) != mask(tmp_path / "alone")).any()
    passes = count_passes(engine)
    for _ in range(2):
        assert main(["segment", str(other), "--out", str(out), "--resume"]) == 0
        np.testing.assert_array_equal(mask(out), mask(tmp_path / "alone"))
    assert len(passes) == 1
    assert [row["scan"] for row in rows(out)] == ["scan.png"]


def test_a_folder_takes_one_run_at_a_time(
    scan: Path,
    out: Path,
    ensemble: Ensemble,
    engine: DarkEngine,
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["segment", str(scan), "--out", str(out)]
    refused = []

    def come_in_between(views: FloatMap) -> None:
        with pytest.raises(ResultsError) as caught, locked(out):
            pass
        refused.append(str(caught.value))

    engine.on_pass = come_in_between  # type: ignore[method-assign]
    assert main(arguments) == 0
    assert refused == [f"another run writes to {out}: wait for its end, or name another --out"]
    with locked(out):
        assert main(arguments) == 1
    assert refused[0] in capsys.readouterr().err
    assert [row["scan"] for row in rows(out)] == ["scan.png"]
    engine.on_pass = lambda views: None  # type: ignore[method-assign]
    assert main(arguments) == 0


def test_scans_of_one_name_are_done_each_in_its_folder(
    tmp_path: Path, out: Path, ensemble: Ensemble, engine: DarkEngine
) -> None:
    scans = [phantom(tmp_path / name / "scan.png", seed) for seed, name in enumerate("ab")]
    bad = tmp_path / "b" / "bad.png"
    bad.write_bytes(b"no picture")
    arguments = ["segment", *map(str, scans), str(bad), "--out", str(out), "--resume"]
    assert main(arguments) == 1
    assert {row["scan"]: bool(row["error"]) for row in rows(out)} == {
        "a/scan.png": False,
        "b/scan.png": False,
        "b/bad.png": True,
    }
    assert (mask(out / "a") != mask(out / "b")).any()
    phantom(bad, 3)
    passes = count_passes(engine)
    assert main(arguments) == 0
    assert len(passes) == 1
    assert sorted(row["scan"] for row in rows(out)) == ["a/scan.png", "b/bad.png", "b/scan.png"]


def test_cut_off_at_its_beginning_a_run_with_other_settings_leaves_no_rows_of_the_last(
    scan: Path, out: Path, ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["segment", str(scan), "--out", str(out)]
    assert main(arguments) == 0

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    ensemble.threshold = 0.95
    for place in (
        "inference.cli.results.results_folder.write_atomically",
        "inference.cli.results.findings_file.write_atomically",
    ):
        with monkeypatch.context() as patched:
            patched.setattr(place, killed)
            assert main(arguments) != 0
    assert main([*arguments, "--resume"]) == 0
    assert not mask(out).any()


def test_rows_of_the_other_format_are_not_taken_for_those_of_new_settings(
    scan: Path, out: Path, ensemble: Ensemble
) -> None:
    arguments = ["segment", str(scan), "--out", str(out)]
    assert main(arguments) == 0
    ensemble.threshold = 0.95
    assert main([*arguments, "--format", "jsonl"]) == 0
    assert main([*arguments, "--resume"]) == 0
    assert [row["tumor_area_px"] for row in rows(out)] == ["0"]


def test_overlays_of_earlier_settings_are_drawn_again(scan: Path, out: Path, ensemble: Ensemble) -> None:
    arguments = ["segment", str(scan), "--out", str(out)]
    assert main(arguments) == 0
    old = (out / "scan_overlay.png").read_bytes()
    ensemble.threshold = 0.95
    assert main([*arguments, "--no-overlay"]) == 0
    assert main([*arguments, "--resume"]) == 0
    assert (out / "scan_overlay.png").read_bytes() != old


def test_a_scan_that_fails_keeps_no_mask_of_an_earlier_run(scan: Path, out: Path, ensemble: Ensemble) -> None:
    assert main(["segment", str(scan), "--out", str(out)]) == 0
    scan.write_bytes(b"no picture")
    assert main(["segment", str(scan), "--out", str(out)]) == 1
    assert sorted(path.name for path in out.iterdir()) == ["findings.csv", "made_by.json"]


def test_another_classifier_is_another_setting(
    scan: Path, out: Path, ensemble: Ensemble, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["segment", str(scan), "--out", str(out), "--resume"]
    assert main(arguments) == 0
    ensemble.classifier = Classifier(weights=dict.fromkeys(FEATURES, 0.1), intercept=-1)
    assert main(arguments) == 1
    assert "were made by other folds or settings" in capsys.readouterr().err
    (out / "made_by.json").write_text("{damaged")
    assert main(arguments) == 1
    assert "were made by other folds or settings" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["scan_mask.png", "scan_overlay.png", "scan_mask.nii.gz"])
def test_files_of_ones_own_are_not_overwritten(
    scan: Path, ensemble: Ensemble, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    (scan.parent / name).write_bytes(b"drawn by hand")
    assert main(["segment", str(scan), "--out", str(scan.parent)]) == 1
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert f"{name} is none of this command's results" in sentence
    assert (scan.parent / name).read_bytes() == b"drawn by hand"
    assert sorted(path.name for path in scan.parent.iterdir()) == ["scan.png", name]


def test_a_scan_is_not_overwritten_by_the_results_of_another(
    scan: Path, ensemble: Ensemble, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = phantom(scan.parent / "scan_mask.png", 2)
    before = beside.read_bytes()
    (scan.parent / "made_by.json").write_text("{}")
    assert main(["segment", str(scan), str(beside), "--out", str(scan.parent)]) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert beside.read_bytes() == before


def test_scans_may_lie_where_their_results_go(scan: Path, ensemble: Ensemble) -> None:
    for resume in ([], [], ["--resume"]):
        assert main(["segment", f"{scan.parent}/**/*.png", "--out", str(scan.parent), *resume]) == 0
        assert [row["scan"] for row in rows(scan.parent)] == ["scan.png"]


@pytest.mark.parametrize("place", ["results_folder.write_png", "findings_file.FindingsFile.add"])
def test_a_full_disk_ends_the_run_with_one_sentence(
    folder: Path,
    out: Path,
    ensemble: Ensemble,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    place: str,
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(f"inference.cli.results.{place}", full)
    assert main(["segment", str(folder), "--out", str(out)]) == 1
    said = [line for line in capsys.readouterr().err.splitlines() if "No space" in line]
    assert said == [
        f"error: {out} cannot be written (No space left on device): mend that, and go on with --resume"
    ]
    assert rows(out) == []


def test_a_list_of_files_needs_no_open_standard_input(
    scan: Path,
    out: Path,
    ensemble: Ensemble,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert main(["segment", str(scan), "--out", str(out), "--format", "jsonl"]) == 0
    row = json.loads((out / "findings.jsonl").read_text())
    assert (row["scan"], len(row["fingerprint"])) == ("scan.png", 64)
    assert main(["segment", "-", "--out", str(out)]) == 1
    assert "standard input is empty" in capsys.readouterr().err
