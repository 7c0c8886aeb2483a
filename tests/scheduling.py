"""Which tests run when: side by side in a few processes, and alone where a test is marked so.

Files go to processes whole (`--dist=loadfile`), in the order in which their tests were collected.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest

try:
    import fcntl
except ImportError:  # on Windows a test that measures time may be disturbed
    fcntl = None  # type: ignore[assignment]


LONGEST = (
    "test_soak.py",
    "test_fit.py",
    "test_ensemble.py",
    "test_tracking.py",
    "test_chain.py",
    "test_wheel.py",
    "judging/test_commands.py",
    "test_rehearsal.py",
    "test_notebook.py",
    "test_ending.py",
    "test_startup.py",
    "test_fit_folds.py",
    "test_serve.py",
    "test_pacs.py",
    "test_unet_graph.py",
    "test_hostile_input.py",
)
"""Begun last, one of them would run when there is nothing left for the other processes to do."""

STOPWATCH = "test_serving.py"
"""While a test runs alone the other processes wait, so nothing should be left for them by then."""


def rank(item: pytest.Item) -> tuple[bool, bool, int]:
    """Return what tests are sorted by to be run in the best order."""
    path = item.path.as_posix()
    place = next((place for place, name in enumerate(LONGEST) if path.endswith(f"/{name}")), len(LONGEST))
    return item.path.name == STOPWATCH, item.get_closest_marker("alone") is not None, place


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
