"""The service under a stopwatch: start, memory, many clients, deadlines."""

import hashlib
import json
import math
import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
import safetensors.numpy
from scipy import stats

from benchmarks.service import measure_load
from inference.preparation import Preparation
from inference.tta import FLIPS
from inference.weights.ensemble_file import (
    EnsembleFile,
    FoldEntry,
    read_ensemble_file,
    read_listed_folds,
    write_ensemble_file,
)
from inference.weights.export import export_folds
from inference.weights.fold_file import METADATA_KEY, read_fold
from inference.weights.tensors import read_tensors
from tests.conftest import (
    ROOT,
    SIZES,
    Server,
    as_base64,
    as_service,
    file_bytes,
    plain_settings,
    start_server,
    stop_server,
)
from training.phantoms.drawing import Phantom, make_phantom
from utils import decode_request, validate_segmentation

MODELS = ROOT / "models"
LIBRARIES = "import cv2, fastapi, openvino, pydantic_settings, prometheus_client, uvicorn"
WARM_START = 5
"""How many times as long as importing its libraries a warm start may take; PyTorch's alone takes six."""

STARTS = 5
PATIENCE_S = 60
CLIENTS, ROUNDS, ROUND_S, SURE = 16, 4, 2, 0.01
STRETCHED = Preparation(input_size=(1024, 512))
NO_TIME_S = 0.05
"""Less than one view of a stretched scan takes three folds on any machine."""

HEAVY = ("torch", "segmentation_models_pytorch", "timm", "wandb", "lightning", "sklearn", "matplotlib")

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="reads the processes' figures from /proc")


@pytest.fixture
def four_views(tmp_path: Path) -> Iterator[Server]:
    """A service that sees every scan in all four flips."""
    running = start_server(tmp_path, TTA_OPS=",".join(FLIPS))
    yield running
    stop_server(running)


@pytest.fixture
def patient(tmp_path: Path, server: Server) -> Iterator[Server]:
    """A service that refuses no scan for being late: how long many take is for the test to judge."""
    running = start_server(tmp_path, DEADLINE_S=PATIENCE_S)
    yield running
    stop_server(running)


def request_of(phantom: Phantom) -> dict[str, str]:
    return {"img": as_base64(file_bytes(phantom.grey))}


def imported(log: Path) -> set[str]:
    """Return the top-level modules that a process with PYTHONPROFILEIMPORTTIME imported."""
    lines = re.findall(r"^import time:.*\|\s*([\w.]+)$", log.read_text(), flags=re.MULTILINE)
    return {name.partition(".")[0] for name in lines}


@pytest.mark.alone
def test_a_warm_start_is_quick_and_imports_no_pytorch(tmp_path: Path, server: Server) -> None:
    times = [math.inf]
    while min(times) >= WARM_START and len(times) <= STARTS:  # other work may disturb some of them
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", LIBRARIES], check=True)
        imports_s, started = time.monotonic() - began, time.monotonic()
        warm = start_server(tmp_path / str(len(times)))
        times.append((time.monotonic() - started) / imports_s)
        stop_server(warm)
    assert min(times) < WARM_START
    log = tmp_path / "imports"
    with log.open("wb") as stderr:
        watched = start_server(tmp_path, stderr=stderr, PYTHONPROFILEIMPORTTIME=1)
        answer = watched.post("/analyze", json=request_of(make_phantom(0)))
        stop_server(watched)
    assert answer.status_code == 200
    assert {"fastapi", "openvino", "jinja2"} <= imported(log)
    assert imported(log).isdisjoint({*HEAVY, "django_htmx"})


def test_without_the_page_its_library_is_not_imported(tmp_path: Path, server: Server) -> None:
    log = tmp_path / "imports"
    with log.open("wb") as stderr:
        bare = start_server(tmp_path, stderr=stderr, PYTHONPROFILEIMPORTTIME=1, UI=0)
        root = httpx.get(bare.url, headers={"Accept": "text/html"})
        page = bare.get("/ui")
        stop_server(bare)
    assert "running" in root.json()["message"]
    assert page.status_code == 404
    assert imported(log).isdisjoint({"jinja2", "django_htmx"})


def test_an_exported_folder_is_served_where_there_is_no_pytorch(
    tmp_path: Path, patient: Server, phantom: Phantom
) -> None:
    export_folds(plain_settings(models_dir=MODELS), tmp_path / "exported")
    for module in ("torch", "segmentation_models_pytorch"):
        (tmp_path / f"{module}.py").write_text("raise ImportError('not installed here')")
    elsewhere = start_server(
        tmp_path,
        PYTHONPATH=tmp_path,
        MODELS_DIR=tmp_path / "exported",
        MODEL_CACHE_DIR=tmp_path / "cache",
        DEADLINE_S=PATIENCE_S,
    )
    try:
        masks = [s.post("/predict", json=request_of(phantom)).json()["img"] for s in (patient, elsewhere)]
        models = [s.get("/api").json()["model"] for s in (patient, elsewhere)]
    finally:
        stop_server(elsewhere)
    assert masks[0] == masks[1]
    assert models[0] == models[1]
    assert not (tmp_path / "cache").exists()


@pytest.mark.alone
def test_many_clients_are_served_as_fast_as_one_and_none_waits_too_long(patient: Server) -> None:
    service, body = as_service(patient), json.dumps(request_of(make_phantom(0, size=SIZES[0]))).encode()
    rounds = [
        [measure_load(service, [body], clients=clients, seconds=ROUND_S) for clients in (1, CLIENTS)]
        for _ in range(ROUNDS)
    ]
    assert not any(load.errors for loads in rounds for load in loads)
    assert not surely_negative([math.log(many.scans_per_s / one.scans_per_s) for one, many in rounds])
    assert not surely_negative([math.log(CLIENTS * 1.2 * one.p50_ms / many.p95_ms) for one, many in rounds])


def surely_negative(values: list[float]) -> bool:
    """Say whether the mean of paired measurements is below zero by more than their noise explains."""
    return bool(stats.ttest_1samp(values, 0, alternative="less").pvalue < SURE)


@pytest.mark.alone
def test_scans_take_their_usual_time_beside_clients_that_dawdle(server: Server, phantom: Phantom) -> None:
    service, body = as_service(server), json.dumps(request_of(phantom)).encode()

    def median_s() -> float:
        seconds = []
        for _ in range(9):
            started = time.perf_counter()
            service.predict(body)
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds)

    service.predict(body)
    usual = median_s()
    begun = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n{",
        b"POST /predict HTTP/1.1\r\nHost: x\r\nX-Never-Ending: ",
    )
    with ExitStack() as open_sockets:
        for number in range(60):
            dawdler = socket.create_connection(("127.0.0.1", service.port))
            open_sockets.enter_context(dawdler).sendall(begun[number % 2])
        assert median_s() < 1.5 * usual


def test_all_views_are_used_where_there_is_time(four_views: Server, phantom: Phantom) -> None:
    answer = four_views.post("/predict", json=request_of(phantom))
    assert answer.headers["X-Views-Used"].split(",") == list(FLIPS)
    analysis = four_views.post("/analyze", json=request_of(phantom))
    assert analysis.json()["views"] == list(FLIPS)
    assert analysis.headers["X-Views-Used"] == answer.headers["X-Views-Used"]
    assert "views identity,hflip,vflip,hvflip" in four_views.log.read_text()


@pytest.fixture
def slow_folds(tmp_path: Path, server: Server) -> Path:
    """The shipped folds, slowed down: every scan is stretched to five times its usual pixels."""
    listed = read_ensemble_file(MODELS)
    entries = []
    for fold in read_listed_folds(MODELS, listed):
        metadata = fold.metadata.model_copy(update={"preparation": STRETCHED})
        path = tmp_path / fold.path.name
        safetensors.numpy.save_file(read_tensors(fold), path, {METADATA_KEY: metadata.model_dump_json()})
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        entries.append(FoldEntry(fold=metadata.fold, file=path.name, sha256=sha256))
        assert read_fold(path).metadata.preparation == STRETCHED
    write_ensemble_file(EnsembleFile(folds=tuple(entries), tta_ops=tuple(FLIPS)), tmp_path)
    return tmp_path


def test_without_time_the_identity_view_answers_and_says_so(slow_folds: Path, phantom: Phantom) -> None:
    hurried = start_server(slow_folds, MODELS_DIR=slow_folds, DEADLINE_S=NO_TIME_S)
    try:
        answer = hurried.post("/analyze", json=request_of(phantom))
        plain = hurried.post("/predict", json=request_of(phantom))
    finally:
        stop_server(hurried)
    assert answer.status_code == plain.status_code == 200
    assert answer.json()["views"] == ["identity"]
    assert answer.json()["model"]["tta_ops"] == list(FLIPS)
    assert plain.headers["X-Views-Used"] == "identity"
    validate_segmentation(np.repeat(phantom.grey[..., None], 3, axis=2), decode_request(plain.json()["img"]))


@pytest.mark.alone
def test_a_full_queue_refuses_at_once_and_says_when_to_come_back(slow_folds: Path, phantom: Phantom) -> None:
    small = start_server(slow_folds, MODELS_DIR=slow_folds, MAX_QUEUE=2, TTA=False, DEADLINE_S=1000)
    try:
        with ThreadPoolExecutor(6) as clients:
            answers = list(clients.map(lambda _: small.post("/predict", json=request_of(phantom)), range(6)))
        later = small.post("/predict", json=request_of(phantom))
    finally:
        stop_server(small)
    refused = [answer for answer in answers if answer.status_code == 503]
    assert sorted({answer.status_code for answer in answers}) == [200, 503]
    assert len(refused) <= 4
    assert later.status_code == 200
    for answer in refused:
        assert int(answer.headers["Retry-After"]) >= 1
        assert "scans are waiting already" in answer.json()["detail"]
        assert answer.elapsed.total_seconds() < 1
