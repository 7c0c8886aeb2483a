"""The commands that judge folds, on phantoms."""

import base64
import csv
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from inference.errors import WeightsError
from inference.weights.ensemble_file import read_ensemble_file
from inference.weights.fold_file import read_fold
from tests.conftest import Server
from training.judging.alternatives import CUTS, SHIPPED
from training.judging.commands import alternatives, calibrate, evaluate_command, paired, report
from training.judging.evaluation import ScanScore, summarize
from training.judging.figures import PICTURE_WIDTH_PX
from training.judging.out_of_fold import VIEW_SETS
from training.options import console
from training.publishing.export import export_runs
from training.scans.dataset import find_cases

Folders = dict[str, Any]


@pytest.fixture
def folders(chain: Path) -> Folders:
    return {"data": chain / "data", "split_file": chain / "folds.json", "models": chain / "models"}


def test_calibrate_and_evaluate_choose_and_score(
    folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    calibrate(**folders)
    printed = capsys.readouterr().out
    assert "ROC AUC" in printed
    assert "expected calibration error" in printed
    listed = read_ensemble_file(folders["models"])
    assert listed.tta_ops in VIEW_SETS.values()
    assert listed.classifier is not None
    assert f"{listed.blank_below:g}" in printed
    for entry in listed.folds:
        fold = read_fold(folders["models"] / entry.file, expected_sha256=entry.sha256)
        assert fold.metadata.threshold == listed.threshold
        assert fold.metadata.tta_ops == listed.tta_ops
        assert entry.out_of_fold_patients == 3

    evaluate_command(**folders, out=tmp_path / "scores.csv")
    printed = capsys.readouterr().out
    with (tmp_path / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    dice = [float(row["dice"]) for row in rows if row["dice"]]
    assert (len(rows), len(dice)) == (10, 6)
    assert f"{np.mean(dice):.4f}" in printed
    by_fold = [np.mean([float(r["dice"]) for r in rows if r["fold"] == str(k) and r["dice"]]) for k in (0, 1)]
    assert [entry.out_of_fold_dice for entry in listed.folds] == pytest.approx(by_fold, abs=1e-4)

    paired(tmp_path / "scores.csv", tmp_path / "scores.csv")
    assert "+0.0000" in capsys.readouterr().out


def test_calibrate_replaces_the_classifier_of_an_earlier_version(folders: Folders, tmp_path: Path) -> None:
    export_runs([folders["models"].parent / "fold0"], tmp_path)
    path = tmp_path / "ensemble.json"
    earlier = json.loads(path.read_text()) | {"classifier": {"weights": [0.2, 0.7, 2.8], "intercept": -8.3}}
    path.write_text(json.dumps(earlier))
    with pytest.raises(WeightsError, match=r"another version's.*run `python -m training calibrate` again"):
        read_ensemble_file(tmp_path)
    calibrate(**(folders | {"models": tmp_path}))  # of one fold, too few to judge the classifier on
    listed = read_ensemble_file(tmp_path)
    assert listed.folds[0].out_of_fold_patients == 3
    assert listed.classifier is not None
    assert listed.blank_below == 0


def test_alternatives_are_held_against_what_ships(
    folders: Folders, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(console, "width", 200)
    alternatives(**folders, scale=[1.0, 1.5])
    cells = [[c.strip() for c in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    rows = {first: others for first, *others in (row for row in cells if len(row) == 7)}
    assert rows[SHIPPED][1] == "+0.0000 ± 0.0000"
    view = read_ensemble_file(folders["models"]).tta_ops[-1]
    same, other = (f"{view} at {scale} of the scale" for scale in ("1", "1.5"))
    assert rows.keys() == {SHIPPED, same, other, *CUTS}
    assert rows[same] == rows[SHIPPED]
    assert math.isfinite(float(rows[other][0]))


def test_report_is_one_page_with_its_pictures_inside(folders: Folders, tmp_path: Path) -> None:
    report(**folders, out=tmp_path)
    page = (tmp_path / "index.html").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    addresses = re.findall(r'src="([^"]*)"', page)
    assert len(addresses) >= 4 + 6 + 6  # plots, worst, best
    assert all(address.startswith("data:image/png;base64,") for address in addresses)
    sizes = [Image.open(io.BytesIO(base64.b64decode(a.partition(",")[2]))).size for a in addresses]
    assert max(width for width, _ in sizes) == PICTURE_WIDTH_PX
    for number in range(1, 7):
        assert f"patient_{number:03d}, fold" in page
    for name in ("ROC", "Reliability", "Spearman", "What views gain"):
        assert name in page


def test_the_competition_is_played_against_a_running_service(
    server: Server, folders: Folders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "played.csv"
    evaluate_command(data=folders["data"], url=server.url + "/predict", out=out)
    printed = " ".join(capsys.readouterr().out.split())
    assert "it is not out of fold" in printed
    assert "0 not answered within 10 s, 0 with errors" in printed
    with out.open() as file:
        rows = {row["scan"]: row for row in csv.DictReader(file)}
    patients = [case for case in find_cases(folders["data"]) if case.is_patient]
    assert rows.keys() == {case.name for case in patients}
    answer = httpx.post(
        server.url + "/analyze", files={"file": patients[0].scan_path.read_bytes()}, timeout=60
    )
    assert int(rows[patients[0].name]["predicted_px"]) == answer.json()["tumor_area_px"]
    assert f"{np.mean([float(row['dice']) for row in rows.values()]):.4f}" in printed


def scan_score(dice: float | None, strays: int) -> ScanScore:
    return ScanScore("scan", 0, dice, 10, 10, strays, 0.5)


def test_a_summary_keeps_controls_out_of_the_dice() -> None:
    summary = summarize([scan_score(0.5, 5), scan_score(0.9, 1), scan_score(None, 0), scan_score(None, 40)])
    assert (summary.patients, summary.controls) == (2, 2)
    assert summary.mean_dice == pytest.approx(0.7)
    assert summary.dice_error == pytest.approx(0.2)
    assert (summary.dice_interval.low, summary.dice_interval.high) == pytest.approx((0.5, 0.9))
    assert summary.false_positive_px == 20
    assert summary.blank_controls == 0.5
