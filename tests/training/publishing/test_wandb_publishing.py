"""Folds published to a server in W&B's place by the real SDK, and a service started from their names."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from inference.preparation import Preparation
from inference.unet import build_unet
from inference.weights.checkpoints import save_fold
from inference.weights.ensemble_file import read_ensemble_file
from inference.weights.fold_file import FoldMetadata
from tests.conftest import ROOT, Server, file_bytes, start_server, stop_server
from tests.stand_ins.wandb_server import API_KEY, NO_FAULT, Fault, WandbServer
from training.__main__ import main
from training.config import write_run_id
from training.phantoms.drawing import Phantom
from training.publishing.artifact_contents import find_publications
from training.publishing.wandb_upload import Order, explain
from training.scans.dataset import DataError

PROJECT = "team/tumours"
TRAINING = {"commit": "c0ffee", "split_sha256": "5b117", "config": {"epochs": 2}}


@pytest.fixture
def account(cloud: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WandbServer:
    """The server in W&B's place, with a key for it in the environment."""
    for name, value in cloud.environment(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    return cloud


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """A finished run's folder, its network untrained."""
    folder = tmp_path / "runs" / "fold2"
    (folder / "metrics" / "version_0").mkdir(parents=True)
    (folder / "metrics" / "version_0" / "metrics.csv").write_text("epoch,val_dice\n0,0.25\n1,0.51\n")
    write_run_id("abcd1234", folder)
    metadata = FoldMetadata(fold=2, preparation=Preparation(input_scale=0.5), training=TRAINING)
    save_fold(build_unet(), metadata, folder / "fold.safetensors")
    return folder


def publish(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: object
) -> tuple[int | str | None, str]:
    """Run the command line in this process; return its exit status and the last line that it prints."""
    monkeypatch.setattr(sys, "argv", ["training", "publish", *map(str, arguments)])
    try:
        status: int | str | None = main()
    except SystemExit as end:
        status = end.code
    return status, capsys.readouterr().out.strip().splitlines()[-1]


def findings(server: Server, phantoms: list[Phantom]) -> list[dict[str, Any]]:
    """Return what a service finds, without what differs from one answer to the next."""
    answers = [
        server.post("/analyze", files={"file": file_bytes(phantom.grey)}).json() for phantom in phantoms
    ]
    kept = ("img", "tumor_probability", "lesions", "views")
    return [{name: answer[name] for name in kept} for answer in answers]


def test_a_service_started_from_published_folds_answers_as_from_models(
    server: Server,
    account: WandbServer,
    phantoms: list[Phantom],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, line = publish(
        monkeypatch, capsys, ROOT / "models", "--project", PROJECT, "--alias", "production"
    )
    assert not status
    name, _, names = line.partition("=")
    assert name == "MODEL_ARTIFACTS"
    assert names == ",".join(f"{PROJECT}/fold{fold}:v0" for fold in (0, 2, 3))
    settings: dict[str, Any] = account.environment(tmp_path / "home") | {
        "MODEL_ARTIFACTS": names,
        "MODEL_CACHE_DIR": tmp_path / "cache",
        "MODELS_DIR": tmp_path / "none",
    }
    small = phantoms[::2]  # which are seen in every view in time, on a busy machine too
    expected = findings(server, small)
    identity = server.get("/api").json()["model"]
    for is_online in (True, False):
        if not is_online:
            account.close()
        started = start_server(tmp_path, **settings)
        assert findings(started, small) == expected
        published = started.get("/api").json()["model"]
        assert [fold.pop("name") for fold in published["folds"]] == names.split(",")
        assert published == identity | {"folds": [{"sha256": f["sha256"]} for f in identity["folds"]]}
        stop_server(started)
    assert account.unknown == []


def test_a_run_is_published_with_all_that_is_known_of_it(
    account: WandbServer,
    run_dir: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")  # of trainings; to publish is to ask for the network
    arguments = (run_dir, "--project", PROJECT, "--name", "best", "--alias", "a", "--alias", "b")
    status, line = publish(monkeypatch, capsys, *arguments)
    assert (status or 0, line) == (0, f"MODEL_ARTIFACTS={PROJECT}/best:v0")
    (artifact,) = account.store.artifacts
    assert artifact.kind == "model"
    assert set(artifact.aliases) == {"latest", "a", "b"}
    assert artifact.files["fold2.safetensors"] == (run_dir / "fold.safetensors").read_bytes()
    told = artifact.metadata
    assert (told["fold"], told["wandb_run"], told["held_out_dice_in_training"]) == (2, "abcd1234", 0.51)
    assert {told["commit"], told["split_sha256"]} == {TRAINING["commit"], TRAINING["split_sha256"]}
    assert (told["threshold"], told["out_of_fold_dice"]) == (0.5, None)
    assert told["preparation"]["input_scale"] == 0.5
    alone = tmp_path / "alone"
    alone.mkdir()
    for name, content in artifact.files.items():
        (alone / name).write_bytes(content)
    assert read_ensemble_file(alone).folds[0].sha256 == told["sha256"]
    assert find_publications([alone])[0].metadata["fold"] == 2


def test_folds_of_models_bring_their_choices_and_scores(account: WandbServer) -> None:
    shipped = read_ensemble_file(ROOT / "models")
    for published, entry in zip(find_publications([ROOT / "models"]), shipped.folds, strict=True):
        assert published.listed == shipped.model_copy(update={"folds": (entry,)})
        assert published.metadata["out_of_fold_dice"] == entry.out_of_fold_dice
        assert json.loads(json.dumps(published.metadata)) == published.metadata


@pytest.mark.parametrize(
    ("key", "timeout_s", "fault", "reason"),
    [
        ("", 60, None, "WANDB_API_KEY is not set"),
        ("f" * 40, 60, None, "refuses the key in WANDB_API_KEY (user is not logged in)"),
        (API_KEY, 60, Fault(status=500, on="graphql"), "check the network, and publish again"),
        (API_KEY, 8, Fault(silent=True, on="files"), "not published within WANDB_TIMEOUT_S=8 seconds"),
    ],
)
def test_what_cannot_be_published_is_one_sentence(
    key: str,
    timeout_s: int,
    fault: Fault | None,
    reason: str,
    account: WandbServer,
    run_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_API_KEY", key)
    monkeypatch.setenv("WANDB_TIMEOUT_S", str(timeout_s))
    monkeypatch.setenv("WANDB_X_GRAPHQL_RETRY_MAX", "1")
    account.fault = fault or NO_FAULT
    status, line = publish(monkeypatch, capsys, run_dir, "--project", PROJECT)
    assert status == 1
    assert line.startswith("error: ")
    assert reason in line
    assert [artifact for artifact in account.store.artifacts if artifact.version is not None] == []


@pytest.mark.parametrize(
    ("detail", "reason"),
    [
        ("WANDB_API_KEY invalid: API key must have 40+ characters, has 5.", "is no W&B key"),
        ("permission denied", "does not let this key publish to team/tumours (permission denied)"),
        (
            "Error: giving up after 4 attempt(s)\nwhile retrying: dial tcp 1.2.3.4: connect: refused",
            "cannot be asked to publish to team/tumours (dial tcp 1.2.3.4: connect: refused)",
        ),
    ],
)
def test_what_the_sdk_says_becomes_a_sentence(detail: str, reason: str) -> None:
    order = Order(entity="team", project="tumours", aliases=(), folders=(), timeout_s=1)
    assert reason in explain(detail, order)


def test_what_is_not_there_to_publish_is_one_sentence(run_dir: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds neither fold\.safetensors nor ensemble\.json"):
        find_publications([tmp_path])
    with pytest.raises(DataError, match="several folds would be published as fold2"):
        find_publications([run_dir, ROOT / "models"])
    with pytest.raises(DataError, match="there are 3 folds to publish, but 1 names"):
        find_publications([ROOT / "models"], ["best"])


def test_a_project_is_named_with_its_entity(
    account: WandbServer, run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, line = publish(monkeypatch, capsys, run_dir, "--project", "tumours")
    assert status == 1
    assert "--project tumours is not ENTITY/PROJECT" in line
