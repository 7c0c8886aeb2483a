"""The competition at home, against servers that misbehave in every way that one can."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from tests.ports import free_port
from training.judging.competition import Answer, ServiceError, latency, play, predict_url, recorded
from training.phantoms.drawing import write_phantoms
from training.scans.dataset import Case, find_cases
from utils import decode_request, encode_request


class Misbehaving(BaseHTTPRequestHandler):
    """Answers the first scan with its own dark pixels, the others each with another fault."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        scan = decode_request(body["img"])
        number = self.server.answered  # type: ignore[attr-defined]
        self.server.answered += 1  # type: ignore[attr-defined]
        if number == 1:
            self.trickle()
        elif number == 2:
            self.send_error(500)
        elif number == 3:
            self.answer({"img": encode_request(scan)})  # grey, so no mask
        elif number == 4:
            self.connection.close()
        else:
            self.answer({"img": encode_request(np.where(scan < 50, 255, 0).astype(np.uint8))})

    def answer(self, content: dict[str, str]) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def trickle(self) -> None:
        """Send a byte now and then: no single read ever waits for long."""
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        try:
            while not self.server.stopping.wait(0.05):  # type: ignore[attr-defined]
                self.wfile.write(b" ")
        except OSError:
            return

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def misbehaving() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Misbehaving)
    server.answered, server.stopping = 0, threading.Event()  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.stopping.set()  # type: ignore[attr-defined]
    server.shutdown()


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> list[Case]:
    folder = tmp_path_factory.mktemp("data")
    write_phantoms(folder, patients=6, controls=1)
    return [case for case in find_cases(folder) if case.is_patient]


def test_every_fault_scores_nothing_and_is_named(
    misbehaving: str, patients: list[Case], tmp_path: Path
) -> None:
    answers = list(recorded(play(patients, misbehaving, limit_s=1), tmp_path / "played.csv"))
    good, late, failed, no_mask, broken, good_again = answers
    assert [answer.scan for answer in answers] == [case.name for case in patients]
    for answer in (good, good_again):
        assert 0 < answer.dice < 1
        assert answer.error == ""
    assert (late.error, late.seconds) == ("time-out", 1)
    assert failed.error == "HTTP 500"
    assert no_mask.error.startswith("no valid mask: ")
    assert "RemoteProtocolError" in broken.error
    assert [answer.dice for answer in (late, failed, no_mask, broken)] == [0] * 4
    assert len((tmp_path / "played.csv").read_text().splitlines()) == 7


def test_where_nothing_answers_the_game_ends_in_one_sentence(patients: list[Case]) -> None:
    with pytest.raises(ServiceError, match=r"no service answers at .*/predict .*: start one"):
        list(play(patients, f"http://127.0.0.1:{free_port()}"))


def test_an_address_is_taken_with_and_without_predict() -> None:
    for url in ("https://x.y", "https://x.y/", "https://x.y/predict", "https://x.y/predict/"):
        assert predict_url(url) == "https://x.y/predict"
    assert predict_url("https://x.y/predict/some-key/") == "https://x.y/predict/some-key"
    with pytest.raises(ServiceError, match="must start with http"):
        predict_url("x.y/predict")


def test_latency_is_over_all_answers() -> None:
    answers = [Answer("scan", 0.5, 1, 1, 0, seconds, "") for seconds in np.linspace(0, 1, 101)]
    times = latency(answers)
    assert (times.p50, times.p95, times.p99, times.longest) == pytest.approx((0.5, 0.95, 0.99, 1))
