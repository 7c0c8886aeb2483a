"""A few scans at a time: one is computed, others are read and written meanwhile."""

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

EXTRA_SCANS = 2
"""Scans beyond those that the engine works on: one has its passes waiting, one is read or written."""


def parallel_map(
    work: Callable[[Item], Result], items: Iterable[Item], *, at_once: int
) -> Generator[tuple[Item, Future[Result]]]:
    """Do the work for every item in threads, and yield the items in their order with what became of them.

    No more than `at_once` are worked on, and no more than twice as many begun and not yet yielded,
    so that what they hold stays bounded. Where the reader of this ends, nothing further is begun.
    """
    pool = ThreadPoolExecutor(at_once, thread_name_prefix="scan")
    begun: deque[tuple[Item, Future[Result]]] = deque()
    try:
        for item in items:
            begun.append((item, pool.submit(work, item)))
            if len(begun) == 2 * at_once:
                yield begun.popleft()
        while begun:
            yield begun.popleft()
    finally:
        pool.shutdown(cancel_futures=True)
