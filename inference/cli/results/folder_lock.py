"""One run at a time into a folder of results."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference.errors import ResultsError

try:
    import fcntl
except ImportError:  # on Windows nobody is kept out
    fcntl = None  # type: ignore[assignment]


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder, until the process ends at the latest, however that ends.

    Raises `ResultsError` where another run is in it, and `OSError` where the folder cannot be opened. A
    file system that knows no locks keeps nobody out.
    """
    if fcntl is None:
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _lock(descriptor, folder)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ResultsError(
            f"another run writes to {folder}: wait for its end, or name another --out"
        ) from None
    except OSError:  # no locks here
        return
