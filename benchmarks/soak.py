"""A soak: clients that send scans of mixed sizes for a long time, and whether anything creeps."""

import statistics
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.service import RunningService, percentiles

TENTH = 0.1
MOST_GROWTH, MOST_SLOWDOWN = 1.05, 1.2


@dataclass(frozen=True)
class Soak:
    """What was seen: the first and the last tenth of the time, side by side."""

    seconds: float
    scans: int
    errors: tuple[str, ...]
    p95_ms: tuple[float, float]
    memory_mib: tuple[float, float]

    @property
    def faults(self) -> list[str]:
        """Return what is not as it should be, one sentence each."""
        growth = self.memory_mib[1] / self.memory_mib[0]
        slowdown = self.p95_ms[1] / self.p95_ms[0]
        found = [f"{len(self.errors)} errors, the first: {self.errors[0]}"] if self.errors else []
        if growth > MOST_GROWTH:
            found.append(f"memory grew to {growth:.2f} of what it was")
        if slowdown > MOST_SLOWDOWN:
            found.append(f"the 95th percentile grew to {slowdown:.2f} of what it was")
        return found


def soak(service: RunningService, bodies: Sequence[bytes], *, clients: int, seconds: float) -> Soak:
    """Have clients send scans for a while; side by side they send every body twice before that counts."""
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(service.predict, [*bodies] * 2))
    answered: list[tuple[float, float]] = []  # when, and after how many milliseconds
    memory: list[tuple[float, float]] = []
    errors: list[str] = []
    begun = time.perf_counter()

    def elapsed() -> float:
        return time.perf_counter() - begun

    def ask(number: int) -> None:
        while (asked := elapsed()) < seconds:
            try:
                service.predict(bodies[number % len(bodies)])
                answered.append((asked, 1000 * (elapsed() - asked)))
            except (OSError, RuntimeError) as error:
                errors.append(str(error))
            number += 1

    threads = [threading.Thread(target=ask, args=(number * 7,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    while elapsed() < seconds:
        memory.append((elapsed(), service.memory_mib("VmRSS")))
        time.sleep(0.5)
    for thread in threads:
        thread.join()
    times, sizes = _tenths(answered, seconds), _tenths(memory, seconds)
    return Soak(
        seconds=seconds,
        scans=len(answered),
        errors=tuple(errors),
        p95_ms=(percentiles(times[0])[1], percentiles(times[1])[1]),
        memory_mib=(statistics.mean(sizes[0]), statistics.mean(sizes[1])),
    )


def _tenths(samples: Sequence[tuple[float, float]], seconds: float) -> tuple[list[float], list[float]]:
    """Return the values of the first and of the last tenth of the time."""
    first = [value for at, value in samples if at <= TENTH * seconds]
    last = [value for at, value in samples if at >= (1 - TENTH) * seconds]
    if not first or not last:
        raise RuntimeError("too few scans were answered to compare anything: soak for longer, with --seconds")
    return first, last
