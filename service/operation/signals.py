"""Ctrl-C, or the order to end, while the service starts."""

import signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StartSignals:
    """Remembers the signal: a library that is interrupted while it is imported may swallow the exception."""

    def __init__(self) -> None:
        self.seen = 0
        for number in SIGNALS:
            signal.signal(number, self._on_signal)

    @property
    def status(self) -> int:
        """Return the exit status of a start that was cut off, as shells have it."""
        return 128 + (self.seen or signal.SIGINT)

    def _on_signal(self, number: int, _: object) -> None:
        self.seen = number
        raise KeyboardInterrupt
