"""Who may wait for the ensemble: as many as there is room for, and nobody in vain."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service.problems import Refusal

MEMORY_SCANS = 20
"""Over how many scans, about, the time from one answer to the next is averaged."""


class Admission:
    """A bounded queue that knows how fast it moves.

    A place is taken once a request is here as a whole, so that slow uploads keep nobody out.
    """

    def __init__(
        self, *, max_queue: float, deadline_s: float, clock: Callable[[], float] = lambda: time.monotonic()
    ) -> None:
        self.max_queue = max_queue
        self.deadline_s = deadline_s
        self.inside = 0
        self.interval_s = 0.0
        self._answers = 0
        self._now = clock
        self._last_answer = clock()

    @property
    def wait_s(self) -> float:
        """Return how long one more scan would wait until those ahead of it are answered, in seconds."""
        return self.inside * self.interval_s

    def check(self) -> None:
        """Raise `Refusal` where one more scan would find no room, or be answered too late."""
        if self.inside >= self.max_queue:
            raise Refusal(
                503,
                f"{self.inside} scans are waiting already, and no more may: try again in a moment",
                "queue_full",
                retry_after_s=self.wait_s,
            )
        if self.wait_s > self.deadline_s:
            raise Refusal(
                503,
                f"the {self.inside} scans ahead take about {self.wait_s:.0f} s, and this one would be late: "
                "try again in a moment",
                "too_late",
                retry_after_s=self.wait_s - self.deadline_s,
            )

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold a place among the scans that wait or are worked on."""
        self.check()
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def expect(self, interval_s: float) -> None:
        """Take a first guess, until a scan is answered."""
        self.interval_s = interval_s

    def answered(self, began: float) -> None:
        """Learn from a scan that is answered now and was begun at a reading of its clock, `time.monotonic`.

        Scans are worked on side by side, so what counts is the time since the answer before it.
        """
        now = self._now()
        self._answers = min(self._answers + 1, MEMORY_SCANS)
        self.interval_s += (now - max(began, self._last_answer) - self.interval_s) / self._answers
        self._last_answer = now
