"""What a running service does under known loads, and the machine of `queueing` that it is taken for.

Two loads say what the machine is: one client, which waits for nobody, and a few, which leave it no pause.
Every other load is predicted first and measured then.
"""

import http.client
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.queueing import RETRY_S, Machines, Outcome, ScanTime, Simulation
from benchmarks.service import RunningService

BUSY_CLIENTS = 4
MOST_THREADS = 256
REPLICATIONS = 50


@dataclass(frozen=True)
class Load:
    """A load: clients that each wait for an answer, or arrivals by chance at a share of the capacity."""

    clients: int = 0
    share: float = 0.0

    def __str__(self) -> str:
        return f"{self.clients} clients" if self.clients else f"arrivals, {self.share:.0%} of capacity"


LOADS = (Load(clients=2), Load(clients=16), Load(share=0.5), Load(share=0.8), Load(share=1.5))
"""None of them says what the machine is, so that a prediction can be wrong."""


class Meter:
    """Sends scans to a service, and notes what becomes of each."""

    def __init__(self, service: RunningService, bodies: Sequence[bytes]) -> None:
        self.service = service
        self.bodies = bodies
        self._lock = threading.Lock()

    def alone(self, rounds: int) -> list[float]:
        """Return the seconds that each body's answer takes where it is alone: the least of its rounds."""
        for body in self.bodies:  # kernels are made for each size that is new
            self._send(body, Outcome(0))
        times_s: list[float] = []
        for body in self.bodies:
            seen = Outcome(0)
            for _ in range(rounds):
                self._send(body, seen)
            if len(seen.answers_s) < rounds:
                raise RuntimeError("the service did not answer every scan of a single client with 200")
            times_s.append(min(seen.answers_s))
        return times_s

    def closed(self, clients: int, seconds: float) -> Outcome:
        """Have clients send scans, each the next one once it has an answer."""
        seen = Outcome(seconds)
        started = time.perf_counter()

        def ask(number: int) -> None:
            chosen = random.Random(number)
            while time.perf_counter() - started < seconds:
                if self._send(chosen.choice(self.bodies), seen) == http.HTTPStatus.SERVICE_UNAVAILABLE:
                    time.sleep(RETRY_S)

        _side_by_side(ask, clients)
        seen.seconds = time.perf_counter() - started
        return seen

    def open(self, rate_per_s: float, seconds: float) -> Outcome:
        """Have scans arrive by chance (Poisson), so many a second, and wait for the last answer.

        A scan's time counts from when it was due, so that a late sender does not flatter the service.
        """
        seen, chance = Outcome(seconds), random.Random(0)
        started = time.perf_counter()
        due = chance.expovariate(rate_per_s)
        with ThreadPoolExecutor(MOST_THREADS) as senders:
            while due < seconds:
                time.sleep(max(0.0, started + due - time.perf_counter()))
                senders.submit(self._send, chance.choice(self.bodies), seen, started + due)
                due += chance.expovariate(rate_per_s)
        return seen

    def _send(self, body: bytes, seen: Outcome, since: float | None = None) -> int:
        """Send a scan and note its answer; returns the status, 0 where there was none."""
        since = time.perf_counter() if since is None else since
        try:
            status, _ = self.service.post(body)
        except (OSError, http.client.HTTPException):
            status = 0
        took_s = time.perf_counter() - since
        with self._lock:
            seen.sent += 1
            if status == http.HTTPStatus.OK:
                seen.answers_s.append(took_s)
            elif status == http.HTTPStatus.SERVICE_UNAVAILABLE:
                seen.refused += 1
            else:
                seen.failed += 1
        return status


def calibrate(alone_s: Sequence[float], busy_scans_per_s: float) -> list[ScanTime]:
    """Part each scan's time alone into the engine's and the rest, so that the busy throughput comes out.

    The engine's share is taken to be the same for all sizes.
    """
    mean_s = sum(alone_s) / len(alone_s)
    share = min(1.0, 1 / (busy_scans_per_s * mean_s))
    return [ScanTime(engine_s=share * seconds, beside_s=(1 - share) * seconds) for seconds in alone_s]


def cost_per_million(price_per_hour: float, scans_per_s: float) -> float:
    """Return what a million scans cost on a machine that never pauses."""
    return 1e6 / scans_per_s / 3600 * price_per_hour


def predict(machines: Machines, load: Load, seconds: float) -> Outcome:
    """Return what the machines would do under a load that is sent as long as it is measured, many times."""
    seen = Outcome(0)
    for seed in range(REPLICATIONS):
        simulation = Simulation(machines, seed=seed)
        if load.clients:
            seen.add(simulation.closed_load(load.clients, seconds))
        else:
            seen.add(simulation.open_load(load.share * machines.capacity_per_s, seconds))
    return seen


def measure(meter: Meter, capacity_per_s: float, load: Load, seconds: float) -> Outcome:
    """Return what the service does under a load."""
    if load.clients:
        return meter.closed(load.clients, seconds)
    return meter.open(load.share * capacity_per_s, seconds)


def _side_by_side(ask: Callable[[int], None], clients: int) -> None:
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
