"""A service whose folds are not ready, or never will be: run in this process, to hold it there."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import uvicorn

from api import create_app
from inference.ensemble import Ensemble, load_ensemble
from inference.settings import Settings
from tests.conftest import ROOT, as_base64, free_port, plain_settings

SCAN = {"img": as_base64((ROOT / "samples" / "phantom_1.png").read_bytes())}


@contextmanager
def serving(settings: Settings, ensemble: Ensemble | None = None) -> Iterator[httpx.Client]:
    """Serve the app on a free port from a thread of this process."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(create_app(settings, ensemble), port=port, log_config=None))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        server.should_exit = True
        thread.join()


def wait_for(client: httpx.Client, state: str) -> httpx.Response:
    for _ in range(300):
        answer = client.get("/health/ready")
        if answer.json()["state"] == state:
            return answer
        time.sleep(0.1)
    raise AssertionError(f"the service was never {state}")


def test_ready_is_503_until_the_folds_are_warmed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    held, warm_up = threading.Event(), Ensemble.warm_up

    def warm_up_when_let(ensemble: Ensemble) -> None:
        held.wait(30)
        warm_up(ensemble)

    monkeypatch.setattr(Ensemble, "warm_up", warm_up_when_let)
    settings = plain_settings(models_dir=ROOT / "models")
    with serving(settings, load_ensemble(settings)) as client:
        answer = client.get("/health/ready")
        assert (answer.status_code, answer.json()) == (503, {"state": "starting"})
        assert client.get("/health/live").status_code == 200
        refused = client.post("/predict", json=SCAN)
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert int(refused.headers["retry-after"]) > 0
        held.set()
        assert wait_for(client, "ready").status_code == 200
        assert client.post("/predict", json=SCAN).status_code == 200


def test_the_app_loads_the_folds_itself_when_it_is_given_none() -> None:
    with serving(plain_settings(models_dir=ROOT / "models")) as client:
        assert wait_for(client, "ready").status_code == 200
        assert client.post("/predict", json=SCAN).status_code == 200


def test_folds_that_cannot_be_loaded_leave_the_service_failed(tmp_path: Path) -> None:
    with serving(plain_settings(models_dir=tmp_path)) as client:
        assert wait_for(client, "failed").status_code == 503
        assert client.post("/predict", json=SCAN).status_code == 503
