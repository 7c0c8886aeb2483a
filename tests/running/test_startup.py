import hashlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from inference.weights.ensemble_file import EnsembleFile
from inference.weights.fold_file import METADATA_KEY
from tests.conftest import ROOT, environment, run_script, start_server, stop_server
from tests.ports import free_port


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A copy of the shipped folds, to be broken."""
    folder = tmp_path / "models"
    folder.mkdir()
    for path in (ROOT / "models").iterdir():
        if path.suffix in (".safetensors", ".json"):
            shutil.copy(path, folder)
    return folder


def listed(models: Path) -> EnsembleFile:
    return EnsembleFile.model_validate_json((models / "ensemble.json").read_text())


def first_fold(models: Path) -> Path:
    return models / listed(models).folds[0].file


def start_fails(*program: str, **settings: object) -> str:
    """Start the service, see that it ends by itself, and return its one sentence."""
    started = time.monotonic()
    ended = run_script(*(program or ("api.py",)), PORT=0, LOG_DIR="", **settings)
    assert ended.returncode == 1, ended.stderr
    assert time.monotonic() - started < 60
    assert "Traceback" not in ended.stderr
    sentence = ended.stderr.strip().splitlines()[-1]
    assert sentence.startswith("The service cannot start: ")
    return sentence


def test_missing_ensemble_file(tmp_path: Path) -> None:
    assert "ensemble.json is missing" in start_fails(MODELS_DIR=tmp_path)


def test_missing_fold(models: Path) -> None:
    first_fold(models).unlink()
    sentence = start_fails(MODELS_DIR=models)
    assert "cannot be read: No such file" in sentence
    assert "put the file back" in sentence


def test_git_lfs_pointer(models: Path) -> None:
    first_fold(models).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    assert "git lfs pull" in start_fails(MODELS_DIR=models)


def test_wrong_hash(models: Path) -> None:
    with first_fold(models).open("ab") as file:
        file.write(b"\0")
    assert "is not the file that ensemble.json lists" in start_fails(MODELS_DIR=models)


def relist(models: Path) -> None:
    """List the first fold's file as it now is, so that its tensors are what is judged."""
    old = listed(models)
    sha256 = hashlib.sha256(first_fold(models).read_bytes()).hexdigest()
    folds = (old.folds[0].model_copy(update={"sha256": sha256}), *old.folds[1:])
    (models / "ensemble.json").write_text(old.model_copy(update={"folds": folds}).model_dump_json())


def test_missing_tensor(models: Path) -> None:
    path = first_fold(models)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    state = load_file(path)
    state.pop("segmentation_head.0.weight")
    save_file(state, path, {METADATA_KEY: metadata[METADATA_KEY]})
    relist(models)
    assert "misses 1 tensors (segmentation_head.0.weight" in start_fails(MODELS_DIR=models)


def test_cut_file(models: Path) -> None:
    path = first_fold(models)
    path.write_bytes(path.read_bytes()[:100_000])
    relist(models)
    assert "is cut short" in start_fails(MODELS_DIR=models)


def test_ensemble_file_that_is_no_json(models: Path) -> None:
    (models / "ensemble.json").write_text("{")
    assert "ensemble.json cannot be read" in start_fails(MODELS_DIR=models)


def test_a_bad_setting_is_named() -> None:
    sentence = start_fails(TTA_OPS="identity,rotate")
    assert "the setting TTA_OPS=identity,rotate cannot be used" in sentence


def test_artifacts_without_a_key() -> None:
    sentence = start_fails(MODEL_ARTIFACTS="someone/project/fold0:v1", WANDB_API_KEY="")
    assert "names someone/project/fold0:v1, but WANDB_API_KEY is not set" in sentence


def artifacts_from(port: int, cache: Path, **more: object) -> dict[str, object]:
    """Return the settings that fetch an artifact from a W&B server on a loopback port."""
    return {
        "MODEL_ARTIFACT": "someone/project/fold0:v1",
        "WANDB_API_KEY": "a" * 40,
        "WANDB_BASE_URL": f"http://127.0.0.1:{port}",
        "MODEL_CACHE_DIR": cache,
    } | more


def test_artifacts_of_a_server_that_cannot_be_reached(tmp_path: Path) -> None:
    settings = artifacts_from(free_port(), tmp_path, WANDB_X_GRAPHQL_RETRY_MAX=1)
    sentence = start_fails(**settings)
    assert "cannot be asked for the artifact someone/project/fold0:v1" in sentence
    assert "connection refused" in sentence


def test_artifacts_of_a_server_that_never_answers(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        port = silent.getsockname()[1]
        sentence = start_fails(**artifacts_from(port, tmp_path, WANDB_TIMEOUT_S=5))
    assert "the artifact someone/project/fold0:v1 was not downloaded within WANDB_TIMEOUT_S=5 sec" in sentence


def test_port_in_use() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ended = run_script("api.py", PORT=port)
    assert ended.returncode == 1
    assert f"127.0.0.1:{port} cannot be listened on" in ended.stderr
    assert "Traceback" not in ended.stderr


WITHOUT = "import sys; sys.modules[{!r}] = None; import api; sys.exit(api.main())"
"""A start where a library is not installed."""


def test_without_openvino() -> None:
    sentence = start_fails("-c", WITHOUT.format("openvino"), ENGINE="openvino")
    assert "OpenVINO cannot be imported" in sentence
    assert "install it with `uv sync --reinstall-package openvino`" in sentence


def test_pytorch_is_asked_for_and_missing() -> None:
    sentence = start_fails("-c", WITHOUT.format("torch"), ENGINE="torch")
    assert "ENGINE=torch needs PyTorch, which is not installed" in sentence
    assert "start with `uv run --group torch api.py`" in sentence


def test_two_starts_at_once_without_a_cache_that_can_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with ThreadPoolExecutor(2) as starting:
        starts = [
            starting.submit(start_server, tmp_path / name, MODEL_CACHE_DIR=blocked) for name in ("one", "two")
        ]
    servers = [start.result() for start in starts]
    logs = [server.log.read_text() for server in servers]
    for server in servers:
        stop_server(server)
    for server, log in zip(servers, logs, strict=True):
        ready = (
            rf"ready on {server.url} after [\d.]+ s: fold0, fold2, fold3 in identity, hflip by openvino-\w+"
        )
        assert re.search(rf"INFO +{ready}$", log, re.MULTILINE)
        assert "cache" not in log
    assert blocked.read_text() == ""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_start_without_a_traceback(tmp_path: Path, number: signal.Signals) -> None:
    starting = subprocess.Popen(
        [sys.executable, "api.py"],
        cwd=ROOT,
        env=environment(PORT=0, LOG_DIR=tmp_path),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert starting.stderr is not None
    assert "starting on" in starting.stderr.readline()
    starting.send_signal(number)
    _, rest = starting.communicate(timeout=30)
    assert starting.returncode == 128 + number
    assert "Traceback" not in rest


def test_a_service_with_settings_and_no_writable_log_folder_runs_until_ctrl_c(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    server = start_server(blocked / "logs", TTA_OPS="identity, vflip", PRED_THRESHOLD="0.25")
    model = server.get("/api").json()["model"]
    assert (model["tta_ops"], model["threshold"]) == (["identity", "vflip"], 0.25)
    server.process.send_signal(signal.SIGINT)
    assert server.process.wait(timeout=20) == 0
