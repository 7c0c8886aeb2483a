"""The service as its clients see it: started from nothing, asked over HTTP, by one or by many."""

import http.client
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
START_DEADLINE_S = 300
ANSWER_DEADLINE_S = 300


@dataclass(frozen=True)
class RunningService:
    """A service on a port of this machine, and how long it took to be ready."""

    port: int
    pid: int
    ready_s: float

    def post(self, body: bytes) -> tuple[int, bytes]:
        """POST a scan to `/predict`; returns the answer's status and content."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_DEADLINE_S)
        try:
            connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def predict(self, body: bytes) -> None:
        """POST a scan to `/predict`; raises `RuntimeError` for any answer but 200."""
        status, content = self.post(body)
        if status != http.HTTPStatus.OK:
            raise RuntimeError(f"the service answered {status}: {content[:200].decode()}")

    def memory_mib(self, kind: str) -> float:
        """Return the process's memory: "VmRSS" is what it has, "VmHWM" the most that it had (Linux)."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(kind):
                return int(line.split()[1]) / 1024
        raise RuntimeError(f"this system does not tell {kind}")


@dataclass(frozen=True)
class Load:
    """What a number of clients saw that each sent one scan after another."""

    clients: int
    scans_per_s: float
    p50_ms: float
    p95_ms: float
    errors: int


@contextmanager
def running_service(**settings: str) -> Iterator[RunningService]:
    """Start the service on a free port, wait until it is ready, and end it afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as logs:
        own = {"PORT": str(port), "LOG_DIR": logs, "LOG_LEVEL": "WARNING"}
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "api.py"], cwd=ROOT, env=os.environ | own | settings)
        try:
            _wait_until_ready(process, port)
            yield RunningService(port, process.pid, time.perf_counter() - started)
        finally:
            process.terminate()
            process.wait()


def measure_load(service: RunningService, bodies: Sequence[bytes], *, clients: int, seconds: float) -> Load:
    """Have some clients send scans for a while, each the next one once it has an answer."""
    times_ms: list[float] = []
    errors: list[str] = []
    end = time.perf_counter() + seconds

    def ask(first: int) -> None:
        number = first
        while (started := time.perf_counter()) < end:
            try:
                service.predict(bodies[number % len(bodies)])
                times_ms.append(1000 * (time.perf_counter() - started))
            except (OSError, RuntimeError) as error:
                errors.append(str(error))
            number += 1

    started = time.perf_counter()
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    p50, p95 = percentiles(times_ms)
    return Load(clients, len(times_ms) / elapsed, p50, p95, len(errors))


def percentiles(times: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 95th percentile."""
    if len(times) < 2:
        return times[0], times[0]
    return statistics.median(times), statistics.quantiles(times, n=20, method="inclusive")[-1]


def _wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the service ended with status {process.returncode}")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_DEADLINE_S)
        try:
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == http.HTTPStatus.OK:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.02)
    raise RuntimeError(f"the service was not ready within {START_DEADLINE_S} s")
