"""How the service ends, on its own terms and on others', and that it comes back."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest

from tests.conftest import ROOT, Server, as_base64, environment, file_bytes, start_server
from training.phantoms.drawing import Phantom
from utils import decode_request, validate_segmentation

REQUESTS = 16
CLIENTS = 200
KILLS = int(os.environ.get("TUMOR_TEST_KILLS", "1"))
"""At how many random moments the service is killed; CI has time for one."""


def test_told_to_end_it_is_not_ready_any_more_and_answers_what_it_has_taken_on(
    tmp_path: Path, server: Server, phantom: Phantom
) -> None:
    ending = start_server(tmp_path, DEADLINE_S=1000, SHUTDOWN_GRACE_S=300)
    scan = {"img": as_base64(file_bytes(phantom.grey))}
    with ThreadPoolExecutor(REQUESTS) as clients:
        asked = [clients.submit(ending.post, "/predict", json=scan) for _ in range(REQUESTS)]
        while sum(answer.done() for answer in asked) + waiting(ending) < REQUESTS:
            assert not all(answer.done() for answer in asked)
        ending.process.send_signal(signal.SIGTERM)
        readiness = wait_until_not_ready(ending)
        refused = ending.post("/predict", json=scan)
        statuses = [answer.result().status_code for answer in asked]
    assert readiness.json() == {"state": "draining"}
    assert (refused.status_code, int(refused.headers["retry-after"]) >= 1) == (503, True)
    assert statuses == [200] * REQUESTS
    assert ending.process.wait(timeout=20) == 0


def test_what_outlasts_the_grace_is_told_so(tmp_path: Path, server: Server) -> None:
    ending = start_server(tmp_path, DEADLINE_S=1000, SHUTDOWN_GRACE_S=0.5)
    scan = {"img": as_base64(file_bytes(np.full((3000, 3000), 255, np.uint8)))}
    with ThreadPoolExecutor(4) as clients:
        asked = [clients.submit(ending.post, "/predict", json=scan) for _ in range(4)]
        while waiting(ending) < 4:
            assert not any(answer.done() for answer in asked)
            time.sleep(0.05)
        ending.process.send_signal(signal.SIGTERM)
        answers = [answer.result() for answer in asked]
    assert ending.process.wait(timeout=20) == 0
    cut_off = [answer for answer in answers if answer.status_code == 503]
    assert len(cut_off) >= 3  # one may have been done
    for answer in cut_off:
        assert answer.headers["content-type"] == "application/problem+json"
        assert "before this request was answered" in answer.json()["detail"]
        assert int(answer.headers["retry-after"]) >= 1
    assert "Traceback" not in ending.log.read_text()


HANGS = """
import sys, threading
import api
from inference.ensemble import Ensemble

run = Ensemble.warm_up

def warm_up_then_hang(ensemble):
    run(ensemble)
    ensemble.engine.run = lambda *_: threading.Event().wait()

Ensemble.warm_up = warm_up_then_hang
sys.exit(api.main())
"""


def test_told_to_end_while_its_engine_hangs_it_ends(tmp_path: Path, server: Server, phantom: Phantom) -> None:
    hanging = start_server(tmp_path, "-c", HANGS, ENGINE_TIMEOUT_S=1)
    answer = hanging.post("/predict", json={"img": as_base64(file_bytes(phantom.grey))})
    assert answer.status_code == 503
    hanging.process.terminate()
    assert hanging.process.wait(timeout=20) == 0


def test_killed_in_the_middle_of_anything_the_next_start_is_ready(
    tmp_path: Path, server: Server, phantom: Phantom
) -> None:
    moments, scan = random.Random(), {"img": as_base64(file_bytes(phantom.grey))}
    for number in range(KILLS):
        settings = environment(PORT=0, LOG_DIR=tmp_path)
        starting = subprocess.Popen(
            [sys.executable, "api.py"], cwd=ROOT, env=settings, start_new_session=True
        )
        time.sleep(moments.uniform(0, 5))
        starting.kill()
        starting.wait()
        wait_until_gone(starting.pid)
        again = start_server(tmp_path)
        try:
            assert again.post("/predict", json=scan).status_code == 200, number
        finally:
            again.process.kill()
            again.process.wait()


def test_many_clients_a_quarter_of_which_hang_up(server: Server, phantom: Phantom) -> None:
    scan = {"img": as_base64(file_bytes(phantom.grey[:96, :96]))}
    memory = psutil.Process(server.process.pid).memory_info
    at_once = threading.Barrier(CLIENTS)

    with httpx.Client(base_url=server.url, timeout=120, limits=httpx.Limits(), verify=False) as client:

        def ask(number: int) -> httpx.Response | None:
            at_once.wait(60)
            if number % 4 != 3:
                return client.post("/predict", json=scan)
            with suppress(httpx.ReadTimeout):
                client.post("/predict", json=scan, timeout=httpx.Timeout(60, read=0.01))
            return None

        before = memory().rss
        with ThreadPoolExecutor(CLIENTS) as clients:
            answers = list(clients.map(ask, range(CLIENTS)))
        due = time.monotonic() + 5
        while (after := client.post("/predict", json=scan)).status_code != 200:
            assert time.monotonic() < due, after.text
        assert memory().rss < 1.1 * before
    stayed = [answer for answer in answers if answer is not None]
    assert len(stayed) == CLIENTS * 3 // 4
    for answer in stayed:
        assert answer.status_code in (200, 503)
        if answer.status_code == 200:
            validate_segmentation(phantom.grey[:96, :96], decode_request(answer.json()["img"]))
        else:
            assert int(answer.headers["retry-after"]) >= 1
    assert any(answer.status_code == 200 for answer in stayed)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full to stand for a full disk")
def test_a_full_disk_costs_lines_of_the_log_and_one_sentence(
    tmp_path: Path, server: Server, phantom: Phantom
) -> None:
    (tmp_path / "api.log").symlink_to("/dev/full")
    console = tmp_path / "console"
    with console.open("wb") as stderr:
        full = start_server(tmp_path, stderr=stderr)
        answer = full.post("/predict", json={"img": as_base64(file_bytes(phantom.grey))})
        full.process.terminate()
        assert full.process.wait(timeout=20) == 0
    assert answer.status_code == 200
    text = console.read_text()
    assert text.count("the log goes to the console alone") == 1
    assert "POST /predict 200" in text
    assert "Traceback" not in text


def wait_until_gone(session: int) -> None:
    """Wait until none of a session's processes runs."""
    due = time.monotonic() + 20
    while running_in(session):
        assert time.monotonic() < due, "a process outlived the service that started it"
        time.sleep(0.1)


def running_in(session: int) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, of = path.read_text().rpartition(")")[2].split()[:4]
            if int(of) == session and state != "Z":
                found.append(path.parent.name)
    return found


def waiting(server: Server) -> int:
    """Return how many scans wait or are worked on."""
    gauge = re.search(r"^tumor_scans_waiting (\S+)$", server.get("/metrics").text, flags=re.MULTILINE)
    assert gauge is not None
    return round(float(gauge[1]))


def wait_until_not_ready(server: Server) -> httpx.Response:
    for _ in range(200):
        answer = server.get("/health/ready")
        if answer.status_code == 503:
            return answer
        time.sleep(0.01)
    raise AssertionError("it was ready to the end")
