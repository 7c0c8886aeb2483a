"""Who is let in, who is told to come back, and who is not computed."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import httpx
import pytest
from fastapi import Request
from starlette.types import Message

from inference.ensemble import Ensemble
from inference.report.description import ScanFindings, describe
from service.concurrency import wait_for_turn
from service.limits.admission import Admission
from service.problems import Refusal
from tests.conftest import plain_settings
from tests.service.in_process import SCAN, Held, running, wait_for, wait_until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A clock of one number, for the admission to read."""
    now = [100.0]
    monkeypatch.setattr("service.limits.admission.time.monotonic", lambda: now[0])
    return now


def test_the_wait_is_learnt_from_the_time_between_answers(clock: list[float]) -> None:
    admission = Admission(max_queue=10, deadline_s=8)
    for _ in range(3):  # two side by side, each of four seconds, and an answer every two
        began = clock[0] - 2
        clock[0] += 2
        admission.answered(began)
    assert admission.interval_s() == pytest.approx(2, abs=0.7)
    clock[0] += 1000  # of nothing to do, which is not counted
    admission.answered(began=clock[0] - 2)
    assert admission.interval_s() == pytest.approx(2, abs=0.7)


def test_a_slow_volume_says_nothing_of_how_long_scans_take(clock: list[float]) -> None:
    admission = Admission(max_queue=64, deadline_s=8)
    admission.expect(0.4)
    for took, kind in ((0.5, "scan"), (21.0, "volume"), (0.5, "scan")):
        began = clock[0]
        clock[0] += took
        admission.answered(began, kind)  # type: ignore[arg-type]
    assert (admission.interval_s(), admission.interval_s("volume")) == (0.5, 21)
    with admission.place("volume"):
        for _ in range(10):
            with admission.place():
                admission.check()
        with pytest.raises(Refusal, match="this one would be late"):
            admission.check("volume")
    admission.check("volume")


def test_whoever_would_be_late_is_refused_at_once_and_told_when_to_come(clock: list[float]) -> None:
    admission = Admission(max_queue=10, deadline_s=8)
    clock[0] += 5
    admission.answered(began=100)
    with admission.place(), admission.place():
        with pytest.raises(Refusal) as refused:
            admission.check()
        assert (refused.value.status_code, refused.value.reason) == (503, "too_late")
        assert refused.value.headers == {"Retry-After": "2"}  # then 8 of the 10 s are left
    admission.check()


def test_a_full_queue_refuses_at_once(ensemble: Ensemble) -> None:
    held = Held(ensemble)
    held.go.set()
    with running(plain_settings(max_queue=3, deadline_s=1000), ensemble) as (client, service):
        wait_for(client, "ready")
        held.go.clear()
        with ThreadPoolExecutor(3) as others:
            waiting = [others.submit(post, client.base_url) for _ in range(3)]
            wait_until(lambda: service.admission.inside == 3)
            refused = post(client.base_url)
            assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
            assert int(refused.headers["retry-after"]) >= 1
            assert "3 scans are waiting already" in refused.json()["detail"]
            held.go.set()
            assert [answer.result().status_code for answer in waiting] == [200] * 3
        assert post(client.base_url).status_code == 200
        assert 'tumor_refused_total{reason="queue_full"} 1.0' in client.get("/metrics").text


def test_a_client_that_hung_up_is_not_computed_and_leaves_its_place(ensemble: Ensemble) -> None:
    held = Held(ensemble)
    held.go.set()
    with running(plain_settings(deadline_s=1000), ensemble) as (client, service):
        wait_for(client, "ready")
        service.turns.total_tokens = 1
        held.go.clear()
        begun = held.began
        with ThreadPoolExecutor(1) as others:
            first = others.submit(post, client.base_url)
            wait_until(lambda: held.began == begun + 1)
            body = httpx.Request("POST", client.base_url.join("/predict"), json=SCAN)
            with socket.create_connection((client.base_url.host, client.base_url.port or 80)) as impatient:
                impatient.sendall(
                    b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
                    + str(len(body.content)).encode()
                    + b"\r\n\r\n"
                    + body.content
                )
                wait_until(lambda: service.admission.inside == 2)
            wait_until(lambda: service.admission.inside == 1)  # at once, not when its turn comes
            held.go.set()
            assert first.result().status_code == 200
        time.sleep(0.1)
        assert held.began == begun + 1
        assert 'tumor_refused_total{reason="hung_up"} 1.0' in client.get("/metrics").text


def test_a_scan_keeps_its_place_until_all_of_its_findings_are_described(
    monkeypatch: pytest.MonkeyPatch, ensemble: Ensemble
) -> None:
    describing, go = threading.Event(), threading.Event()

    def describe_slowly(*arguments: Any) -> ScanFindings:
        describing.set()
        assert go.wait(60)
        return describe(*arguments)

    monkeypatch.setattr("api.describe", describe_slowly)
    with running(plain_settings(), ensemble) as (client, service), ThreadPoolExecutor(1) as others:
        wait_for(client, "ready")
        asked = others.submit(httpx.post, client.base_url.join("/analyze"), json=SCAN, timeout=60)
        assert describing.wait(60)
        inside = service.admission.inside
        go.set()
        assert asked.result().status_code == 200
        assert (inside, service.admission.inside) == (1, 0)


def test_a_body_that_is_refused_gives_the_turn_back() -> None:
    async def refuse() -> Message:
        raise Refusal(413, "the body is too large", "too_large")

    async def take() -> None:
        turns = anyio.CapacityLimiter(1)
        with pytest.raises(Refusal):
            await wait_for_turn(turns, Request({"type": "http"}, refuse))
        assert turns.available_tokens == 1

    anyio.run(take)


def test_the_clock_may_jump_while_scans_are_worked_on(
    monkeypatch: pytest.MonkeyPatch, ensemble: Ensemble
) -> None:
    held, clock = Held(ensemble), time.time
    held.go.set()
    with running(plain_settings(), ensemble) as (client, service), ThreadPoolExecutor(2) as others:
        wait_for(client, "ready")
        for jump_s in (1e8, -1e8):
            held.go.clear()
            waiting = [others.submit(post, client.base_url) for _ in range(2)]
            wait_until(lambda: service.admission.inside == 2)
            monkeypatch.setattr(time, "time", lambda jump_s=jump_s: clock() + jump_s)
            held.go.set()
            assert [answer.result().status_code for answer in waiting] == [200, 200]
            assert client.get("/health/ready").status_code == 200


def post(base_url: httpx.URL) -> httpx.Response:
    return httpx.post(base_url.join("/predict"), json=SCAN, timeout=60)
