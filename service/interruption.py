"""Ctrl-C while the service starts."""

import signal

INTERRUPTED = 128 + signal.SIGINT
"""The exit status of a start that Ctrl-C cut off, as shells have it."""


class Interruption:
    """Remembers Ctrl-C: a library that is interrupted while it is imported may swallow the exception."""

    def __init__(self) -> None:
        self.seen = False
        signal.signal(signal.SIGINT, self._on_signal)

    def _on_signal(self, *_: object) -> None:
        self.seen = True
        raise KeyboardInterrupt
