"""How long an answer may take."""

import math
import time


class Deadline:
    """When a scan's answer is due, and what one more pass of a network would cost it.

    Threads may share one: they only ever raise the cost, and a reading that is a moment old does
    no harm.
    """

    def __init__(self, seconds: float = math.inf, *, since: float | None = None) -> None:
        """Count `seconds` from `since`, a reading of `time.monotonic`; by default from now."""
        self.due = (time.monotonic() if since is None else since) + seconds
        self._longest_pass = 0.0

    def took(self, seconds: float) -> None:
        """Learn how long a pass took."""
        self._longest_pass = max(self._longest_pass, seconds)

    def allows_another_pass(self) -> bool:
        """Say whether a pass that begins now would end in time, if it takes as long as the longest so far."""
        return time.monotonic() + self._longest_pass <= self.due

    def left_s(self) -> float:
        """Return how many seconds are left, for another process whose clock reads otherwise."""
        return self.due - time.monotonic()
