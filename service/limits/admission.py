"""Who may wait for the ensemble: as many as there is room for, and nobody in vain."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

from service.problems import Refusal

MEMORY_SCANS = 20
"""Over how many scans, about, the time from one answer to the next is averaged."""


Kind = Literal["scan", "volume"]
"""What waits: a volume may take as long as fifty scans, and says nothing of how long they take."""


@dataclass
class _Pace:
    """How many of a kind are inside, and how far apart their answers are."""

    last_answer: float
    inside: int = 0
    interval_s: float = 0.0
    answers: int = 0


class Admission:
    """A bounded queue that knows how fast it moves, scans and volumes each by themselves.

    A place is taken once a request is here as a whole, so that slow uploads keep nobody out.
    """

    def __init__(
        self, *, max_queue: float, deadline_s: float, clock: Callable[[], float] = lambda: time.monotonic()
    ) -> None:
        self.max_queue = max_queue
        self.deadline_s = deadline_s
        self._now = clock
        self._paces: dict[Kind, _Pace] = {"scan": _Pace(clock()), "volume": _Pace(clock())}

    @property
    def inside(self) -> int:
        """Return how many scans and volumes wait or are worked on."""
        return sum(pace.inside for pace in self._paces.values())

    def interval_s(self, kind: Kind = "scan") -> float:
        """Return the time from one answer of a kind to the next, in seconds."""
        return self._paces[kind].interval_s

    def wait_s(self, kind: Kind = "scan") -> float:
        """Return how long one more would wait until those ahead of it are answered, in seconds.

        Volumes ahead of a scan are decoded beside it; what they cost it is in the time that scans take.
        """
        ahead = (self._paces[other] for other in self._paces if other in ("scan", kind))
        return sum(pace.inside * pace.interval_s for pace in ahead)

    def check(self, kind: Kind = "scan") -> None:
        """Raise `Refusal` where one more of a kind would find no room, or be answered too late."""
        wait_s = self.wait_s(kind)
        if self.inside >= self.max_queue:
            raise Refusal(
                503,
                f"{self.inside} scans are waiting already, and no more may: try again in a moment",
                "queue_full",
                retry_after_s=wait_s,
            )
        if wait_s > self.deadline_s:
            raise Refusal(
                503,
                f"the {self.inside} scans ahead take about {wait_s:.0f} s, and this one would be late: "
                "try again in a moment",
                "too_late",
                retry_after_s=wait_s - self.deadline_s,
            )

    @contextmanager
    def place(self, kind: Kind = "scan") -> Iterator[None]:
        """Hold a place among those that wait or are worked on."""
        self.check(kind)
        self._paces[kind].inside += 1
        try:
            yield
        finally:
            self._paces[kind].inside -= 1

    def expect(self, interval_s: float) -> None:
        """Take a first guess, until one of a kind is answered."""
        for pace in self._paces.values():
            pace.interval_s = interval_s

    def answered(self, began: float, kind: Kind = "scan") -> None:
        """Learn from one that is answered now and was begun at a reading of its clock, `time.monotonic`.

        They are worked on side by side, so what counts is the time since the answer before it.
        """
        now, pace = self._now(), self._paces[kind]
        pace.answers = min(pace.answers + 1, MEMORY_SCANS)
        pace.interval_s += (now - max(began, pace.last_answer) - pace.interval_s) / pace.answers
        pace.last_answer = now
