"""The service as a queue: what machines that take so long for a scan would answer, how soon, and to whom.

A discrete-event simulation (SimPy). Who is let in is decided by the service's own `Admission`; a view is
left out where the service would leave it out. What HTTP, decoding and encoding take goes on beside the
next scan's passes, as it does in the service.
"""

import random
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import simpy

from service.limits.admission import Admission
from service.problems import Refusal

Steps = Generator[simpy.Event]

RETRY_S = 1.0
"""After how long a client comes back that was told to."""


class Balancing(StrEnum):
    """Which machine a scan is sent to."""

    RANDOM = "random"
    TWO_CHOICES = "two choices"
    LEAST = "least"


@dataclass(frozen=True)
class ScanTime:
    """How long a scan takes that is alone: the engine, for all its views, and all else."""

    engine_s: float
    beside_s: float = 0.0


@dataclass(frozen=True)
class Machines:
    """What answers: so many machines alike, each of which computes so many scans at once."""

    scan_times: Sequence[ScanTime]
    count: int = 1
    scans_at_once: int = 1
    views: int = 2
    max_queue: float = 64
    deadline_s: float = 8
    balancing: Balancing = Balancing.TWO_CHOICES
    exponential: bool = False
    """Whether the engine's times are drawn around the scans' own, as queueing theory likes them."""

    @property
    def capacity_per_s(self) -> float:
        """Return how many scans they can compute in a second, all views of each."""
        return self.count * self.scans_at_once / float(np.mean([time.engine_s for time in self.scan_times]))


@dataclass
class Outcome:
    """What clients saw: how many scans they sent, and the seconds that each answer took."""

    seconds: float
    sent: int = 0
    refused: int = 0
    failed: int = 0
    answers_s: list[float] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Take in what was seen another time."""
        self.seconds += other.seconds
        self.sent += other.sent
        self.refused += other.refused
        self.failed += other.failed
        self.answers_s += other.answers_s

    @property
    def scans_per_s(self) -> float:
        """Return how many scans were answered in a second."""
        return len(self.answers_s) / self.seconds

    @property
    def refused_share(self) -> float:
        """Return which share of the scans got a 503."""
        return self.refused / self.sent if self.sent else 0.0

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the answers' times; NaN where there was none."""
        return 1000 * float(np.percentile(self.answers_s, percent)) if self.answers_s else float("nan")


class _Machine:
    def __init__(self, environment: simpy.Environment, machines: Machines) -> None:
        self.engine = simpy.Resource(environment, machines.scans_at_once)
        self.admission = Admission(
            max_queue=machines.max_queue, deadline_s=machines.deadline_s, clock=lambda: environment.now
        )
        self.admission.expect(1 / machines.capacity_per_s * machines.count)


class Simulation:
    """Machines, and scans that arrive at them."""

    def __init__(self, machines: Machines, *, seed: int = 0) -> None:
        self.machines = machines
        self.environment = simpy.Environment()
        self._random = random.Random(seed)
        self._machines = [_Machine(self.environment, machines) for _ in range(machines.count)]

    def open_load(self, rate_per_s: float, seconds: float) -> Outcome:
        """Have scans arrive by chance (Poisson), so many a second, and wait for the last answer."""
        seen = Outcome(seconds)
        self.environment.process(self._arrivals(rate_per_s, seen))
        self.environment.run()
        return seen

    def closed_load(self, clients: int, seconds: float) -> Outcome:
        """Have clients send scans, each the next one once it has an answer."""
        seen = Outcome(seconds)
        for _ in range(clients):
            self.environment.process(self._client(seen))
        self.environment.run()
        seen.seconds = self.environment.now
        return seen

    def _arrivals(self, rate_per_s: float, seen: Outcome) -> Steps:
        while True:
            yield self.environment.timeout(self._random.expovariate(rate_per_s))
            if self.environment.now >= seen.seconds:
                return
            self.environment.process(self._scan(seen))

    def _client(self, seen: Outcome) -> Steps:
        while self.environment.now < seen.seconds:
            refused = seen.refused
            yield self.environment.process(self._scan(seen))
            if seen.refused > refused:
                yield self.environment.timeout(RETRY_S)

    def _scan(self, seen: Outcome) -> Steps:
        """Send a scan, and note how long its answer takes or that there is none."""
        arrived = self.environment.now
        seen.sent += 1
        machine = self._chosen()
        time = self._random.choice(self.machines.scan_times)
        try:
            machine.admission.check()
        except Refusal:
            seen.refused += 1
            return
        with machine.admission.place():
            with machine.engine.request() as turn:
                yield turn
                began = self.environment.now
                yield from self._compute(time, due=arrived + self.machines.deadline_s)
            machine.admission.answered(began)
        yield self.environment.timeout(time.beside_s)
        seen.answers_s.append(self.environment.now - arrived)

    def _compute(self, time: ScanTime, due: float) -> Steps:
        engine_s = self._random.expovariate(1 / time.engine_s) if self.machines.exponential else time.engine_s
        view_s = engine_s / self.machines.views
        for view in range(self.machines.views):
            if view and self.environment.now + view_s > due:
                return
            yield self.environment.timeout(view_s)

    def _chosen(self) -> _Machine:
        match self.machines.balancing:
            case Balancing.RANDOM:
                return self._random.choice(self._machines)
            case Balancing.TWO_CHOICES:
                asked = self._random.sample(self._machines, min(2, len(self._machines)))
            case Balancing.LEAST:
                asked = self._machines
        return min(asked, key=lambda machine: machine.admission.inside)
