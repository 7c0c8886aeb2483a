"""Lines of the log that come again and again: the first of a kind are written, the others summed up."""

import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass

FREE_LINES = 100
WINDOW_S = 60.0
"""So many lines of a kind are written within so many seconds."""

Tell = Callable[[str, str], None]
"""What writes a line of a level."""


@dataclass
class _Kind:
    level: str
    since: float
    lines: int = 0
    sum_due: threading.Timer | None = None


class Flood:
    """Lets the first lines of each kind pass, and tells at the end of a window how many more there were."""

    def __init__(
        self,
        tell: Tell,
        *,
        free_lines: int = FREE_LINES,
        window_s: float = WINDOW_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.free_lines = free_lines
        self.window_s = window_s
        self._tell, self._now = tell, clock
        self._kinds: dict[Hashable, _Kind] = {}
        self._lock = threading.Lock()

    def passes(self, kind: Hashable, level: str) -> bool:
        """Count a line of a kind and say whether it is to be written."""
        now = self._now()
        with self._lock:
            known = self._kinds.get(kind)
            if known is None or (known.sum_due is None and now - known.since > self.window_s):
                known = self._kinds[kind] = _Kind(level, since=now)
            known.lines += 1
            if known.lines <= self.free_lines:
                return True
            if known.sum_due is None:
                left_s = max(0.0, self.window_s - (now - known.since))
                known.sum_due = threading.Timer(left_s, self._sum_up, [kind])
                known.sum_due.daemon = True
                known.sum_due.start()
            return False

    def end(self) -> None:
        """Tell of what has not been told yet."""
        for kind in list(self._kinds):
            self._sum_up(kind)

    def _sum_up(self, kind: Hashable) -> None:
        with self._lock:
            known = self._kinds.pop(kind, None)
        if known is None or known.sum_due is None:
            return
        known.sum_due.cancel()
        what = " ".join(map(str, kind)) if isinstance(kind, tuple) else str(kind)
        more = known.lines - self.free_lines
        self._tell(
            known.level, f"… and {more:,} more such lines within {self._now() - known.since:.0f} s: {what}"
        )
