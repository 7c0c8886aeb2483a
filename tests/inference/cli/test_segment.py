import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event

import numpy as np
import pytest
from PIL import Image

from inference.atomic_write import write_png
from inference.cli.app import main
from inference.ensemble import Ensemble
from tests.conftest import ROOT, environment, run_script
from tests.inference.cli.conftest import DarkEngine
from training.phantoms.drawing import make_phantom
from utils import validate_segmentation

SCANS = int(os.environ.get("TUMOR_TEST_SCANS", "24"))
"""How many phantoms are segmented in the run that is killed; CI has time for few."""

BAD = {"bad_1.png": b"no picture", "bad_2.png": b"", "bad_3.jpg": b"\xff\xd8\xff cut short"}
LIMIT_S = 60


def findings(out: Path) -> list[dict[str, str]]:
    with (out / "findings.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def scans_in(out: Path) -> list[str]:
    return [row["scan"] for row in findings(out)]


def test_masks_overlays_and_findings_are_written(tmp_path: Path) -> None:
    """As a user does it, with the folds that ship."""
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no picture")
    ended = run_script("-m", "inference", "segment", "samples", bad, "--out", tmp_path / "out")
    assert ended.returncode == 1
    assert f"{bad}: the scan is neither a PNG nor a JPEG file" in ended.stderr
    assert "2 of 3 scans segmented" in ended.stderr
    tumour, healthy, failed = findings(tmp_path / "out")
    mask = np.asarray(Image.open(tmp_path / "out" / "phantom_1_mask.png"))
    validate_segmentation(np.asarray(Image.open(ROOT / "samples" / "phantom_1.png")), mask)
    assert int(tumour["tumor_area_px"]) == (mask[..., 0] > 0).sum() > 0
    assert len(json.loads(tumour["lesion_list"])) == int(tumour["lesions"]) > 1
    assert (healthy["tumor_area_px"], healthy["lesion_list"]) == ("0", "[]")
    assert failed["error"] == "the scan is neither a PNG nor a JPEG file"
    overlay = np.asarray(Image.open(tmp_path / "out" / "phantom_1_overlay.png"))
    assert overlay.shape == (978, 800, 3)


def test_killed_at_any_moment_and_resumed_every_scan_is_there_once(tmp_path: Path) -> None:
    scans, out = tmp_path / "scans", tmp_path / "out"
    scans.mkdir()
    for number in range(SCANS):
        write_png(scans / f"phantom_{number:03d}.png", make_phantom(number, size=(120, 96)).grey)
    for name, content in BAD.items():
        (scans / name).write_bytes(content)
    command = [sys.executable, "-m", "inference", "segment", str(scans), "--out", str(out)]
    running = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
    due = time.monotonic() + 300
    while len(list(out.glob("*_mask.png"))) < SCANS // 2:
        assert running.poll() is None
        assert time.monotonic() < due
        time.sleep(0.005)
    running.send_signal(signal.SIGKILL)
    running.wait()
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    for path in before:
        Image.open(path).load()
    done = (out / "findings.csv").read_bytes().rpartition(b"\n")[0].count(b"phantom_")
    assert 0 < done < SCANS
    resumed = run_script(*command[1:], "--resume")
    assert resumed.returncode == 1
    assert f"{SCANS - done} of {SCANS - done + len(BAD)} scans segmented, {done} were done" in resumed.stderr
    for name in BAD:
        assert resumed.stderr.count(f"{scans / name}: ") == 1
    rows = findings(out)
    assert sorted(row["scan"] for row in rows) == sorted(path.name for path in scans.iterdir())
    assert sorted(row["scan"] for row in rows if row["error"]) == sorted(BAD)
    masks = sorted(out.glob("*_mask.png"))
    assert len(masks) == len(list(out.glob("*_overlay.png"))) == SCANS
    untouched = [path for path, changed in before.items() if path.stat().st_mtime_ns == changed]
    assert len(untouched) >= 2 * done
    assert not list(out.glob(".*"))


def test_resume_does_again_what_failed_changed_or_is_gone(
    tmp_path: Path, folder: Path, ensemble: Ensemble, engine: DarkEngine
) -> None:
    out = tmp_path / "out"
    (folder / "bad.png").write_bytes(b"no picture")
    assert main(["segment", str(folder), "--out", str(out)]) == 1
    os.utime(folder / "scan_0.png", (time.time() + 60,) * 2)  # touched, and the same
    write_png(folder / "scan_1.png", make_phantom(8, size=(120, 96)).grey)
    os.utime(folder / "scan_1.png", (0, 0))  # another, and older than its mask
    (out / "scan_2_overlay.png").unlink()
    write_png(folder / "bad.png", make_phantom(9, size=(120, 96)).grey)
    passes: list[None] = []
    engine.on_pass = lambda views: passes.append(None)  # type: ignore[method-assign]
    assert main(["segment", str(folder), "--out", str(out), "--resume"]) == 0
    assert len(passes) == 3
    assert sorted(scans_in(out)) == sorted(path.name for path in folder.iterdir())
    assert not any(row["error"] for row in findings(out))
    assert main(["segment", str(folder / "scan_3.png"), "--out", str(out)]) == 0
    assert scans_in(out) == ["scan_3.png"]  # without --resume the findings begin anew


def test_results_of_other_folds_are_not_mixed(
    tmp_path: Path, folder: Path, ensemble: Ensemble, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["segment", str(folder), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    ensemble.threshold = 0.6
    assert main([*arguments, "--resume"]) == 1
    assert "were made by other folds or settings" in capsys.readouterr().err


def test_a_row_is_written_after_the_pictures_that_it_is_of(
    tmp_path: Path, folder: Path, ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    seen: list[int] = []

    def look(path: Path, image: object) -> None:
        written = path.parent / "findings.csv"
        seen.append(len(written.read_text().splitlines()) - 1)
        assert f"{path.name.rpartition('_')[0]}.png" not in written.read_text()
        write_png(path, image)  # type: ignore[arg-type]

    monkeypatch.setattr("inference.ensemble.write_png", look)
    monkeypatch.setattr("inference.cli.results.results_folder.write_png", look)
    assert main(["segment", str(folder), "--out", str(out)]) == 0
    assert len(seen) == 12
    assert seen[-1] > 0  # rows come while others are still worked on


def test_scans_are_read_and_written_while_the_engine_works(
    tmp_path: Path, folder: Path, ensemble: Ensemble, engine: DarkEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first pass waits for the third scan to be read, the next for the first mask: no wait is in vain."""
    read, written = [Event() for _ in range(6)], Event()
    waited: list[bool] = []

    def on_pass(views: object) -> None:
        waited.append(read[2].wait(LIMIT_S) if not waited else written.wait(LIMIT_S))

    def on_read(path: Path) -> np.ndarray:
        read[int(path.stem[-1])].set()
        return np.array(Image.open(path).convert("RGB"))

    def on_write(path: Path, image: object) -> None:
        write_png(path, image)  # type: ignore[arg-type]
        written.set()

    engine.on_pass = on_pass  # type: ignore[method-assign]
    monkeypatch.setattr("inference.cli.scans.sources.read_scan", on_read)
    monkeypatch.setattr("inference.ensemble.write_png", on_write)
    assert main(["segment", str(folder), "--out", str(tmp_path / "out")]) == 0
    assert waited == [True] * 6


@pytest.mark.parametrize("fault", [OSError(28, "No space left on device"), RuntimeError("the engine fails")])
def test_whatever_fails_at_one_scan_the_others_are_segmented(
    tmp_path: Path, folder: Path, ensemble: Ensemble, engine: DarkEngine, fault: Exception
) -> None:
    passes: list[None] = []

    def on_pass(views: object) -> None:
        passes.append(None)
        if len(passes) == 2:
            raise fault

    engine.on_pass = on_pass  # type: ignore[method-assign]
    assert main(["segment", str(folder), "--out", str(tmp_path / "out")]) == 1
    errors = [row["error"] for row in findings(tmp_path / "out") if row["error"]]
    assert len(errors) == 1
    assert (fault.args[-1]) in errors[0]
    assert len(scans_in(tmp_path / "out")) == 6


def test_an_inverted_scan_is_told_of_and_drawn_as_it_was_segmented(
    tmp_path: Path, folder: Path, ensemble: Ensemble, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    phantom = make_phantom(5, size=(489, 400)).grey
    write_png(folder / "inverted.png", np.asarray(255 - phantom, np.uint8))
    assert main(["segment", str(folder / "inverted.png"), "--out", str(out), "--format", "jsonl"]) == 0
    assert "inverted.png: warning: the scan has a black background" in capsys.readouterr().err
    row = json.loads((out / "findings.jsonl").read_text())
    assert (row["scan"], len(row["warnings"]), row["error"]) == ("inverted.png", 1, None)
    assert np.asarray(Image.open(out / "inverted_overlay.png"))[0, 0].tolist() == [255] * 3


def test_overlays_can_be_left_out(tmp_path: Path, folder: Path, ensemble: Ensemble) -> None:
    out = tmp_path / "out"
    assert main(["segment", str(folder), "--out", str(out), "--no-overlay"]) == 0
    assert not list(out.glob("*_overlay.png"))
    assert len(list(out.glob("*_mask.png"))) == 6


def test_a_place_that_cannot_be_written_is_one_sentence(
    tmp_path: Path, folder: Path, ensemble: Ensemble, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["segment", str(folder), "--out", str(tmp_path / "file")]) == 1
    (sentence,) = capsys.readouterr().err.strip().splitlines()
    assert sentence.startswith("error: ")
    assert "File exists" in sentence


def test_ctrl_c_keeps_what_is_done(
    tmp_path: Path, folder: Path, ensemble: Ensemble, monkeypatch: pytest.MonkeyPatch
) -> None:
    from inference.cli.results.findings_file import FindingsFile

    add: Callable[[FindingsFile, dict[str, object]], None] = FindingsFile.add

    def add_twice(self: FindingsFile, row: dict[str, object]) -> None:
        if len(scans_in(tmp_path / "out")) == 2:
            raise KeyboardInterrupt
        add(self, row)

    monkeypatch.setattr(FindingsFile, "add", add_twice)
    arguments = ["segment", str(folder), "--out", str(tmp_path / "out")]
    assert main(arguments) == 130
    assert scans_in(tmp_path / "out") == ["scan_0.png", "scan_1.png"]
    monkeypatch.setattr(FindingsFile, "add", add)
    assert main([*arguments, "--resume"]) == 0
    assert len(set(scans_in(tmp_path / "out"))) == len(scans_in(tmp_path / "out")) == 6
