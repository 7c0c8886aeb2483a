import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.ensemble import build_ensemble
from inference.weights.checkpoints import load_network
from inference.weights.fold_file import read_fold
from tests.conftest import ROOT, environment, plain_settings
from training.__main__ import main
from training.config import FitConfig, read_config
from training.fitting.curves import read_metrics
from training.fitting.fit import fit, newest_checkpoint
from training.phantoms.drawing import make_phantom, write_phantoms
from training.scans.dataset import DataError, find_cases, read_cases
from training.scans.folds import Split, split_scans, write_split
from utils import dice_score

TINY = {"crop_size": (64, 64), "input_scale": 0.2, "patients_per_batch": 2, "controls_per_batch": 1}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight phantoms and four controls, with their split beside them."""
    folder = tmp_path_factory.mktemp("data")
    write_phantoms(folder, patients=8, controls=4)
    write_split(split_scans(read_cases(find_cases(folder)), folds=2), folder / "folds.json")
    return folder


def fit_arguments(data: Path, run_dir: Path, *more: str) -> list[str]:
    sets = [f"{name}={','.join(map(str, v)) if isinstance(v, tuple) else v}" for name, v in TINY.items()]
    changes = (*sets, "validate_every=2", "checkpoint_every=1")
    options = [part for change in changes for part in ("--set", change)]
    places = ["--data", str(data), "--split", str(data / "folds.json"), "--run-dir", str(run_dir)]
    return ["fit", "--fold", "0", "--epochs", "6", *options, *places, *more]


def run_in_process(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Run the command line in this process, which has paid for its imports; returns the exit status."""
    monkeypatch.setattr(sys, "argv", ["training", *arguments])
    try:
        return main()
    except SystemExit as end:
        return end.code


def test_a_killed_fit_resumes_where_it_was(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_dir = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "training", *fit_arguments(data, run_dir)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while newest_checkpoint(run_dir) is None and time.monotonic() < deadline:
        assert process.poll() is None, "fit ended before its first checkpoint"
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (run_dir / "fold.safetensors").exists()
    done_before = set(read_metrics(run_dir, "train_loss"))

    assert run_in_process(monkeypatch, *fit_arguments(data, run_dir)) == 1
    assert "--resume" in capsys.readouterr().out
    assert not run_in_process(monkeypatch, *fit_arguments(data, run_dir, "--resume"))
    metadata = read_fold(run_dir / "fold.safetensors").metadata
    assert metadata.training["steps"] == 6 * 2  # epochs x batches: as if it had never been killed
    checkpoint = newest_checkpoint(run_dir)
    assert checkpoint is not None
    assert read_fold(checkpoint).metadata.preparation == metadata.preparation
    load_network(read_fold(checkpoint))
    later = run_dir / "metrics" / "version_1" / "metrics.csv"
    assert later.exists()
    with later.open() as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file)]
    assert min(epochs) >= 1, "the resumed run began again from nothing"
    assert set(read_metrics(run_dir, "train_loss")) >= done_before | {6}
    assert (run_dir / "curves.png").stat().st_size > 1000


def test_a_run_writes_its_whole_configuration(data: Path, tmp_path: Path) -> None:
    config = FitConfig.model_validate(TINY | {"fold": 1, "epochs": 1})
    split = split_scans(read_cases(find_cases(data)), folds=2)
    weights = fit(config, data_dir=data, split=split, run_dir=tmp_path / "run")
    assert read_config(tmp_path / "run") == config
    metadata = read_fold(weights).metadata
    assert metadata.fold == 1
    assert metadata.preparation == config.preparation
    assert FitConfig.model_validate(metadata.training["config"]) == config
    assert metadata.training["split_sha256"] == split.sha256


def test_a_run_killed_after_its_last_epoch_still_ends_with_its_averaged_weights(
    data: Path, tmp_path: Path
) -> None:
    config = FitConfig.model_validate(TINY | {"fold": 0, "epochs": 2})
    split = split_scans(read_cases(find_cases(data)), folds=2)
    weights = fit(config, data_dir=data, split=split, run_dir=tmp_path)
    expected = load_network(read_fold(weights)).state_dict()
    assert fit(config, data_dir=data, split=split, run_dir=tmp_path, resume=True) == weights
    weights.unlink()
    fit(config, data_dir=data, split=split, run_dir=tmp_path, resume=True)
    for name, tensor in load_network(read_fold(weights)).state_dict().items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4)


def test_a_run_starts_from_weights_that_never_saw_its_held_out_scans(data: Path, tmp_path: Path) -> None:
    split = split_scans(read_cases(find_cases(data)), folds=2)
    config = FitConfig.model_validate(TINY | {"fold": 0, "epochs": 1})
    runs = tmp_path / "runs"
    first = fit(config, data_dir=data, split=split, run_dir=runs / "fold0")
    frozen = config.model_copy(update={"start_from": runs, "learning_rate": 1e-12, "weight_decay": 0.0})
    again = fit(frozen, data_dir=data, split=split, run_dir=tmp_path / "again")
    origin = read_fold(again).metadata.training
    assert origin["start_from_sha256"] == read_fold(first).sha256
    assert origin["start_from_training"] == read_fold(first).metadata.training
    before, after = load_network(read_fold(first)), load_network(read_fold(again))
    for (name, tensor), expected in zip(after.named_parameters(), before.parameters(), strict=True):
        torch.testing.assert_close(tensor, expected, rtol=1e-3, atol=1e-6, msg=name)

    other_fold = frozen.model_copy(update={"fold": 1, "start_from": first})
    with pytest.raises(DataError, match="scans that fold 1 holds out"):
        fit(other_fold, data_dir=data, split=split, run_dir=tmp_path / "other")
    no_such_fold = other_fold.model_copy(update={"start_from": runs})
    with pytest.raises(DataError, match=r"has neither fold1.fold\.safetensors nor fold1\.safetensors"):
        fit(no_such_fold, data_dir=data, split=split, run_dir=tmp_path / "none")


def test_a_run_is_not_resumed_with_another_split_or_another_configuration(data: Path, tmp_path: Path) -> None:
    config = FitConfig.model_validate(TINY | {"fold": 0, "epochs": 1})
    scans = read_cases(find_cases(data))
    split = split_scans(scans, folds=2)
    fit(config, data_dir=data, split=split, run_dir=tmp_path)
    with pytest.raises(DataError, match="another split"):
        fit(config, data_dir=data, split=split_scans(scans, folds=2, seed=9), run_dir=tmp_path, resume=True)
    for changed, value in (("fold", 1), ("epochs", 7)):
        other = FitConfig.model_validate(TINY | {"fold": 0, "epochs": 1} | {changed: value})
        with pytest.raises(DataError, match=f"was started with {changed}={0 if changed == 'fold' else 1}"):
            fit(other, data_dir=data, split=split, run_dir=tmp_path, resume=True)
    assert fit(FitConfig(fold=0), data_dir=data, split=split, run_dir=tmp_path, resume=True).exists()


def test_a_mistyped_data_folder_leaves_no_run(data: Path, tmp_path: Path) -> None:
    split = split_scans(read_cases(find_cases(data)), folds=2)
    with pytest.raises(DataError):
        fit(FitConfig(fold=0), data_dir=tmp_path / "nothing", split=split, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_there_must_be_a_run_to_resume(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no run to resume"):
        fit(FitConfig(fold=0), data_dir=data, split=Split({}, 0), run_dir=tmp_path, resume=True)


def test_a_damaged_checkpoint_is_passed_over(data: Path, tmp_path: Path) -> None:
    config = FitConfig.model_validate(TINY | {"fold": 0, "epochs": 2, "checkpoint_every": 1})
    split = split_scans(read_cases(find_cases(data)), folds=2)
    fit(config, data_dir=data, split=split, run_dir=tmp_path)
    newest = newest_checkpoint(tmp_path)
    assert newest is not None
    newest.write_bytes(newest.read_bytes()[:10_000])
    older = newest_checkpoint(tmp_path)
    assert older is not None
    assert older != newest


def test_fit_overfits_twelve_phantoms(tmp_path: Path) -> None:
    """The whole chain learns: scans on disk, augmentation off, loss, averaged weights, exported fold."""
    folder = tmp_path / "data"
    (folder / "controls" / "imgs").mkdir(parents=True)
    (folder / "patients" / "imgs").mkdir(parents=True)
    (folder / "patients" / "labels").mkdir(parents=True)
    from PIL import Image

    for number in range(12):
        phantom = make_phantom(number, lesions=3, radius_px=(6, 9), size=(192, 160))
        Image.fromarray(phantom.grey).save(folder / f"patients/imgs/patient_{number:03d}.png")
        Image.fromarray(phantom.label * np.uint8(255)).save(
            folder / f"patients/labels/segmentation_{number:03d}.png"
        )
    scans = read_cases(find_cases(folder))
    everything = Split({scan.case.name: 1 for scan in scans}, seed=0)
    config = FitConfig(
        fold=0,
        epochs=30,
        checkpoint_every=30,
        input_scale=0.6,
        crop_size=(128, 96),
        augmentation=False,
        patients_per_batch=6,
        learning_rate=2e-3,
        ema_decay=0.8,
    )
    started = time.process_time()  # whatever else runs on the machine
    weights = read_fold(fit(config, data_dir=folder, split=everything, run_dir=tmp_path / "run"))
    assert time.process_time() - started < 120
    ensemble = build_ensemble([weights], plain_settings(engine="torch"), tta_ops=("identity",), threshold=0.5)
    dice = [dice_score(scan.label, ensemble.predict(scan.grey).mask[..., 0]) for scan in scans]
    assert np.mean(dice) > 0.9, json.dumps([round(score, 2) for score in dice])
