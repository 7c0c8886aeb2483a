"""Training runs in Weights & Biases: the real SDK, and a loopback server in its place."""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import psutil
import pytest
import wandb
from loguru import logger

from inference.weights.fold_file import read_fold
from tests.conftest import ROOT, environment
from tests.stand_ins.wandb_server import WandbServer
from tests.stand_ins.wandb_store import StoredRun
from training.config import FitConfig
from training.fitting.fit import fit
from training.fitting.module import BatchStatistics
from training.fitting.tracking import tracked, wandb_is_configured
from training.phantoms.drawing import write_phantoms
from training.scans.dataset import find_cases, read_cases
from training.scans.folds import Split, split_scans

CONFIG = FitConfig(
    fold=0,
    epochs=2,
    input_scale=0.2,
    crop_size=(64, 64),
    patients_per_batch=2,
    controls_per_batch=1,
    validate_every=1,
    checkpoint_every=1,
)
STEPS = 2 * 2


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_phantoms(folder, patients=8, controls=4)
    return folder


@pytest.fixture(scope="module")
def split(data: Path) -> Split:
    return split_scans(read_cases(find_cases(data)), folds=2)


@pytest.fixture(autouse=True)
def wandb_to_cloud(cloud: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Point this process's SDK at the loopback server, and end its service afterwards."""
    for name, value in cloud.environment(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_TIMEOUT_S", "20")
    yield
    wandb.teardown()


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What is logged, line by line."""
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(message.record["message"]))
    yield lines
    logger.remove(sink)


def on_validation(monkeypatch: pytest.MonkeyPatch, epoch: int, action: Callable[[], None]) -> None:
    """Do something when the epoch of this number, counted from 0, is about to be validated."""
    validate = BatchStatistics.on_validation_epoch_start

    def with_action(self: BatchStatistics, trainer: L.Trainer, module: L.LightningModule) -> None:
        if trainer.current_epoch == epoch:
            action()
        validate(self, trainer, module)

    monkeypatch.setattr(BatchStatistics, "on_validation_epoch_start", with_action)


def power_cut() -> None:
    raise RuntimeError("power cut")


def fit_with_a_power_cut(data: Path, split: Split, run_dir: Path, *, log_scans: bool = False) -> Path:
    """Train, fall over before the second validation, and go on."""
    places: dict[str, Any] = {"data_dir": data, "split": split, "run_dir": run_dir}
    with pytest.MonkeyPatch.context() as patch:
        on_validation(patch, 1, power_cut)
        with pytest.raises(RuntimeError, match="power cut"):
            fit(CONFIG, **places, log_scans=log_scans)
    return fit(CONFIG, **places, log_scans=log_scans, resume=True)


def logged(run: StoredRun, name: str) -> dict[int, Any]:
    """Return a metric by step; what a resumed run did again replaces what it had done."""
    return {line["trainer/global_step"]: line[name] for line in run.history if name in line}


def sees_the_whole_training(cloud: WandbServer, weights: Path) -> None:
    (run,) = cloud.store.runs
    configuration = {name: entry["value"] for name, entry in run.config.items() if name != "_wandb"}
    training = read_fold(weights).metadata.training
    assert training.pop("steps") == STEPS
    assert configuration == training.pop("config") | training
    assert sorted(logged(run, "learning_rate")) == list(range(STEPS))
    assert len(logged(run, "train_loss")) == 2
    assert len(logged(run, "val_dice")) == 2
    for phantom in ("phantom_1", "phantom_2"):
        pictures = logged(run, f"examples/{phantom}")
        assert sorted(pictures) == [2, 4]
        (masks,) = pictures[4]["all_masks"]
        assert pictures[4]["filenames"][0] in run.files
        assert {masks["label"]["path"], masks["mask"]["path"]} <= run.files.keys()
    assert cloud.unknown == []


def scans_that_left(cloud: WandbServer, split: Split) -> set[str]:
    """Return the data set's scans of which W&B has been sent a picture."""
    (run,) = cloud.store.runs
    return {name for name in split.fold_of for file in run.files if name in file}


def test_a_run_that_goes_on_goes_on_in_the_same_wandb_run(
    cloud: WandbServer, data: Path, split: Split, tmp_path: Path
) -> None:
    weights = fit_with_a_power_cut(data, split, tmp_path / "run")
    sees_the_whole_training(cloud, weights)
    assert cloud.store.runs[0].exit_code == 0
    assert scans_that_left(cloud, split) == set()
    assert {path.stem for path in (tmp_path / "run" / "examples").iterdir()} == {"phantom_1", "phantom_2"}


def test_an_offline_run_is_synced_by_the_command_that_it_names(
    cloud: WandbServer,
    data: Path,
    split: Split,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    said: list[str],
) -> None:
    with monkeypatch.context() as offline:
        offline.setenv("WANDB_MODE", "offline")
        offline.delenv("WANDB_API_KEY")
        weights = fit_with_a_power_cut(data, split, tmp_path / "a run", log_scans=True)
    assert cloud.operations == []
    (command,) = re.findall(r"to upload this run to W&B: uv run (.*)", said[-1])
    synced = subprocess.run(
        [Path(sys.executable).with_name("wandb"), *shlex.split(command)[1:]],
        cwd=ROOT,
        env=environment(**cloud.environment(tmp_path / "home")),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert synced.returncode == 0, synced.stderr
    sees_the_whole_training(cloud, weights)
    allowed = scans_that_left(cloud, split)
    assert len(allowed) == 3
    assert {split.fold_of[name] for name in allowed} == {CONFIG.fold}


def test_a_training_outlives_wandb(
    data: Path, split: Split, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    def kill_the_service() -> None:
        (service,) = (p for p in psutil.Process().children() if p.name() == "wandb-core")
        os.kill(service.pid, signal.SIGKILL)
        service.wait(10)

    on_validation(monkeypatch, 1, kill_the_service)
    weights = fit(CONFIG, data_dir=data, split=split, run_dir=tmp_path / "run")
    assert read_fold(weights).metadata.training["steps"] == STEPS
    assert sum("the training goes on without it" in line for line in said) == 1
    assert f"uv run wandb sync --include-online {tmp_path / 'run' / 'wandb'}" in said[-1]


@pytest.mark.parametrize("fault", ["refused key", "no network"])
def test_a_run_that_wandb_does_not_take_is_logged_offline(
    fault: str, cloud: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: list[str]
) -> None:
    if fault == "refused key":
        monkeypatch.setenv("WANDB_API_KEY", "f" * 40)
    else:
        cloud.close()
        monkeypatch.setenv("WANDB_TIMEOUT_S", "3")
    with tracked(tmp_path, {"fold": 0}) as tracker:
        assert tracker is not None
        tracker.log_metrics({"train_loss": 0.5}, step=1)
    assert said[0].startswith("W&B does not take this run (")
    assert said[-1] == f"to upload this run to W&B: uv run wandb sync {tmp_path / 'wandb'}"
    (log,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    assert log.stat().st_size > 0


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, False),
        ({"WANDB_API_KEY": "a" * 40}, True),
        ({"WANDB_MODE": "offline"}, True),
        ({"WANDB_API_KEY": "a" * 40, "WANDB_MODE": "disabled"}, False),
    ],
)
def test_runs_are_tracked_with_a_key_or_offline(
    variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("WANDB_API_KEY")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert wandb_is_configured() is expected
