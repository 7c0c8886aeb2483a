"""`python -m training fit --folds`, in one process."""

import sys
from pathlib import Path

import pytest

from inference.weights.fold_file import read_fold
from training.__main__ import main
from training.fitting.fit_folds import _share
from training.phantoms.drawing import write_phantoms
from training.scans.dataset import find_cases, read_cases
from training.scans.folds import split_scans, write_split


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    write_phantoms(tmp_path / "data", patients=4, controls=2)
    write_split(split_scans(read_cases(find_cases(tmp_path / "data")), folds=2), tmp_path / "folds.json")
    places = ["--data", tmp_path / "data", "--split", tmp_path / "folds.json", "--run-dir", tmp_path / "runs"]
    tiny = ["--epochs", "1", "-s", "input_scale=0.2", "-s", "crop_size=64,64", "-s", "patients_per_batch=2"]
    return ["training", "fit", *map(str, places), *tiny]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    monkeypatch.setattr(sys, "argv", list(arguments))
    try:
        return main()
    except SystemExit as end:
        return end.code


def test_folds_are_trained_one_after_another_and_a_failing_one_stops_no_other(
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *arguments, "--folds", "7,1") == 1
    said = capsys.readouterr().out
    assert "fold 7: there is no fold 7" in said
    weights = tmp_path / "runs" / "fold1" / "fold.safetensors"
    assert f"fold 1: trained weights: {weights}" in said
    assert read_fold(weights).metadata.fold == 1

    assert run(monkeypatch, *arguments, "--folds", "1") == 1
    assert "already holds a run" in capsys.readouterr().out
    assert run(monkeypatch, *arguments, "--folds", "1", "--resume") == 0
    assert f"fold 1: trained weights: {weights}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ((), "--fold or --folds"),
        (("--fold", "0", "--folds", "1"), "--fold or --folds"),
        (("--fold", "0", "--ray"), "name them with --folds"),
        (("--folds", "0,x"), "no list of folds"),
        (("--folds", "1,1"), "different folds"),
    ],
)
def test_what_cannot_be_meant_is_said(
    arguments: list[str],
    options: tuple[str, ...],
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, *arguments, *options) == 1
    assert reason in capsys.readouterr().out


def test_no_fold_asks_for_more_cores_than_a_machine_has() -> None:
    assert _share([{"CPU": 4}, {"CPU": 2}], 1) == {"num_gpus": 0, "num_cpus": 4}
    assert _share([{"CPU": 4}, {"CPU": 2}], 3) == {"num_gpus": 0, "num_cpus": 2}
    assert _share([{"CPU": 1}], 3) == {"num_gpus": 0, "num_cpus": 1}
    assert _share([{"CPU": 16, "GPU": 2}], 3) == {"num_gpus": 1, "num_cpus": 1}
