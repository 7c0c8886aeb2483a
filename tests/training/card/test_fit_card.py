import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.unet import build_unet
from inference.weights.checkpoints import load_network
from inference.weights.fold_file import read_fold
from tests.conftest import ROOT, environment
from tests.training.card.conftest import TINY
from training.__main__ import main
from training.card.batches import CardBatches
from training.card.commands import app
from training.card.fit_card import fit_card
from training.card.fold_run import CHECKPOINT_FILE, METRICS_FILE, FoldRun
from training.card.packing import write_packed
from training.card.scans import CardScans
from training.options import run as run_command
from training.publishing.export import export_runs
from training.scans.dataset import DataError, LabelledScan
from training.scans.folds import Split, split_scans, write_split

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def split(scans: list[LabelledScan]) -> Split:
    """Return two folds of the phantoms."""
    return split_scans(scans, folds=2)


@pytest.fixture(scope="module")
def run_dir(scans: list[LabelledScan], split: Split, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train both folds for a few seconds each, and return the run's folder."""
    folder = tmp_path_factory.mktemp("run") / "card"
    config = TINY.model_copy(update={"folds": (0, 1), "minutes": 0.1})
    written = fit_card(config, scans=scans, split=split, run_dir=folder, device=CPU)
    assert written == [folder / "fold0" / "fold.safetensors", folder / "fold1" / "fold.safetensors"]
    return folder


def test_a_run_ends_with_its_time_and_its_learning_rate_with_it(run_dir: Path) -> None:
    for fold in ("fold0", "fold1"):
        rates = [float(row["learning_rate"]) for row in _metrics(run_dir / fold)]
        assert rates[0] < 0.1 * TINY.learning_rate
        training = read_fold(run_dir / fold / "fold.safetensors").metadata.training
        assert training["steps"] == len(rates)
        assert training["seconds"] >= 0.9 * 60 * 0.1 / 2 * (1 - TINY.closing_share) or fold == "fold1"


def test_a_network_learns(on_card: CardScans) -> None:
    torch.manual_seed(0)
    network = build_unet()
    network.train()
    run = FoldRun(TINY, CardBatches(on_card, TINY, 0), 12, network, network)
    losses, rates = [], []
    for second in range(12):
        run.elapsed_s = second
        rates.append(run.learning_rate())
        losses.append(float(run.take_step()))
    assert np.mean(losses[-3:]) < np.mean(losses[:3]) - 0.05
    assert rates[1] < max(rates) > 10 * rates[-1] > 0


def test_what_a_run_leaves_is_a_run_to_export(run_dir: Path, split: Split, tmp_path: Path) -> None:
    listed = export_runs([run_dir / "fold1", run_dir / "fold0"], tmp_path)
    assert [entry.fold for entry in listed.folds] == [0, 1]
    for fold in (0, 1):
        file = read_fold(tmp_path / f"fold{fold}.safetensors")
        training = file.metadata.training
        load_network(file)
        assert file.metadata.preparation.input_scale == TINY.input_scale
        assert training["split_sha256"] == split.sha256
        assert training["crops"] == training["steps"] * 5
        held_out = {name for name, its_fold in split.fold_of.items() if its_fold == fold}
        with np.load(run_dir / f"fold{fold}" / "held_out_maps.npz") as maps:
            assert set(maps.files) == held_out
        scores = json.loads((run_dir / f"fold{fold}" / "held_out.json").read_text())
        assert scores["patients"] + scores["controls"] == len(held_out)
        assert 0 <= scores["dice"]["0.5"] <= 1
    assert not list(run_dir.rglob(CHECKPOINT_FILE))


def test_a_finished_run_has_nothing_to_resume_and_is_not_written_over(
    run_dir: Path, scans: list[LabelledScan], split: Split
) -> None:
    before = {path: path.stat().st_mtime_ns for path in run_dir.rglob("*.safetensors")}
    with pytest.raises(DataError, match="already holds a run: go on with --resume"):
        fit_card(TINY, scans=scans, split=split, run_dir=run_dir, device=CPU)
    other = TINY.model_validate({"minutes": 3})
    with pytest.raises(DataError, match=r"was started with .*minutes=0\.1"):
        fit_card(other, scans=scans, split=split, run_dir=run_dir, device=CPU, resume=True)
    with pytest.raises(DataError, match="holds no run to resume"):
        fit_card(TINY, scans=scans, split=split, run_dir=run_dir / "none", device=CPU, resume=True)
    same = type(TINY)(minutes=0.1)
    fit_card(same, scans=scans, split=split, run_dir=run_dir, device=CPU, resume=True)
    assert {path: path.stat().st_mtime_ns for path in run_dir.rglob("*.safetensors")} == before


def test_a_killed_run_goes_on_where_it_was(
    scans: list[LabelledScan], split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_packed(scans, tmp_path / "scans.npz")
    write_split(split, tmp_path / "folds.json")
    sets = ["input_scale=0.2", "crop_size=64,64", "patients_per_batch=1", "controls_per_batch=0"]
    command = [sys.executable, "-m", "training.card", "fit-card", "--device", "cpu", "--folds", "0"]
    command += ["--minutes", "0.1", "--data", str(tmp_path / "scans.npz"), "--run-dir", str(tmp_path / "run")]
    command += ["--split", str(tmp_path / "folds.json"), *(part for one in sets for part in ("--set", one))]
    command += ["--set", "checkpoint_every_s=0.5", "--set", "statistics_batches=2"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
    checkpoint = tmp_path / "run" / "fold0" / CHECKPOINT_FILE
    deadline = time.monotonic() + 60
    while not checkpoint.exists() and time.monotonic() < deadline:
        assert process.poll() is None, "the run ended before its first checkpoint"
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    state = torch.load(checkpoint, weights_only=True)
    assert 0 < state["elapsed_s"] < 6
    monkeypatch.setattr(sys, "argv", ["training.card", *command[3:], "--resume"])
    with pytest.raises(SystemExit) as end:
        run_command(app)
    assert not end.value.code
    steps = [int(row["step"]) for row in _metrics(checkpoint.parent)]
    assert sorted(set(steps)) == list(range(1, steps[-1] + 1)), "it went on from its checkpoint"
    assert steps.count(1) == 1, "it did not begin anew"
    training = read_fold(tmp_path / "run" / "fold0" / "fold.safetensors").metadata.training
    assert training["steps"] == steps[-1] >= state["step"]
    assert training["seconds"] > 5


def test_a_run_starts_from_weights_that_never_saw_what_it_holds_out(
    scans: list[LabelledScan], split: Split, run_dir: Path, tmp_path: Path
) -> None:
    source = run_dir / "fold0" / "fold.safetensors"
    changes = {"start_from": source, "folds": (1,), "minutes": 0.05}
    with pytest.raises(DataError, match="was trained on scans that fold 1 holds out"):
        fit_card(
            TINY.model_copy(update=changes), scans=scans, split=split, run_dir=tmp_path / "1", device=CPU
        )
    changes |= {"start_from": run_dir, "folds": (0,)}
    fit_card(TINY.model_copy(update=changes), scans=scans, split=split, run_dir=tmp_path / "0", device=CPU)
    training = read_fold(tmp_path / "0" / "fold0" / "fold.safetensors").metadata.training
    assert training["start_from_sha256"] == read_fold(source).sha256


def test_averaged_weights_lag_behind_those_that_learn(on_card: CardScans) -> None:
    torch.manual_seed(0)
    network = build_unet()
    run = FoldRun(TINY, CardBatches(on_card, TINY, 0), 60, network, network)
    before = [average.clone() for average in run.average]
    network.train()
    for _ in range(3):
        run.take_step()
    assert 0 < _distance(before, run.average) < _distance(before, network.parameters())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card here")
def test_without_a_card_the_command_says_what_there_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["training", "fit-card"])
    assert main() == 1
    assert "there is no CUDA card here: train with `fit`" in capsys.readouterr().out


def _distance(before: Iterable[torch.Tensor], after: Iterable[torch.Tensor]) -> float:
    return sum(float((new.detach() - old).abs().sum()) for old, new in zip(before, after, strict=True))


def _metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / METRICS_FILE).open() as file:
        return list(csv.DictReader(file))
