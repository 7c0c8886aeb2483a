"""A service whose folds are not ready, or never will be, or whose engine fails."""

import threading
from pathlib import Path
from typing import Any

import pytest

from inference.ensemble import Ensemble, load_ensemble
from tests.conftest import ROOT, plain_settings
from tests.service.in_process import SCAN, running, serving, wait_for


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


def test_an_engine_that_fails_turns_ready_off_until_it_works_again(
    monkeypatch: pytest.MonkeyPatch, ensemble: Ensemble
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the card fell off the bus")

    with serving(plain_settings(), ensemble) as client:
        wait_for(client, "ready")
        with monkeypatch.context() as broken:
            broken.setattr(ensemble.engine, "run", fail)
            answer = client.post("/predict", json=SCAN, headers={"X-Request-ID": "scan-7"})
            assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
            assert answer.json()["request_id"] == answer.headers["x-request-id"] == "scan-7"
            assert "bus" not in answer.text
            assert wait_for(client, "failed").status_code == 503
            refused = client.post("/predict", json=SCAN)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "2")
            assert client.get("/v2/health/ready").json() == {"ready": False}
            assert client.get("/v2/health/live").json() == {"live": True}
        assert wait_for(client, "ready").status_code == 200
        assert client.post("/predict", json=SCAN).status_code == 200


def test_a_scan_that_fails_does_not_turn_ready_off(
    monkeypatch: pytest.MonkeyPatch, ensemble: Ensemble
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("this scan and no other")

    with running(plain_settings(), ensemble) as (client, service):
        wait_for(client, "ready")
        with monkeypatch.context() as broken:
            broken.setattr(ensemble, "predict", fail)
            broken.setattr(ensemble, "warm_up", lambda: None)
            assert client.post("/predict", json=SCAN).status_code == 500
            assert service.state == "ready"
        assert client.post("/predict", json=SCAN).status_code == 200


def test_an_engine_that_hangs_turns_ready_off_until_it_answers(
    monkeypatch: pytest.MonkeyPatch, ensemble: Ensemble
) -> None:
    let_go, run = threading.Event(), ensemble.engine.run

    def hang(*arguments: Any) -> Any:
        assert let_go.wait(60)
        return run(*arguments)

    with serving(plain_settings(engine_timeout_s=1), ensemble) as client:
        wait_for(client, "ready")
        monkeypatch.setattr(ensemble.engine, "run", hang)
        answer = client.post("/predict", json=SCAN)
        assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
        assert "has not answered within 1 s" in answer.json()["detail"]
        assert client.get("/health/ready").json() == {"state": "failed"}
        assert client.post("/predict", json=SCAN).status_code == 503
        assert client.get("/health/live").status_code == 200
        let_go.set()
        assert wait_for(client, "ready").status_code == 200
