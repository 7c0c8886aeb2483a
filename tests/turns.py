"""Tests run side by side in a few processes; one that is marked `alone` waits until no other runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # on Windows a test that measures time may be disturbed
    fcntl = None  # type: ignore[assignment]


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Hold the machine, with others or alone, for as long as a test runs; `folder` is common to all.

    Who waits for it stands in the door meanwhile, so that none that wants it alone is overtaken.
    """
    with (folder / "door").open("w") as door, (folder / "room").open("w") as room:
        _lock(door, alone=True)
        _lock(room, alone=alone)
        door.close()
        yield


def _lock(file: IO[str], *, alone: bool) -> None:
    if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
