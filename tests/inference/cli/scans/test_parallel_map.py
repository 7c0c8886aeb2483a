from collections.abc import Callable
from threading import Barrier, Lock

import pytest

from inference.cli.scans.parallel_map import parallel_map

LIMIT_S = 60


def test_items_come_in_their_order_with_what_became_of_them() -> None:
    done = list(parallel_map(lambda n: 12 // n, [3, 0, 4], at_once=2))
    assert [item for item, _ in done] == [3, 0, 4]
    assert (done[0][1].result(), done[2][1].result()) == (4, 3)
    with pytest.raises(ZeroDivisionError):
        done[1][1].result()


def test_as_many_are_worked_on_at_once_as_may_be() -> None:
    """Each waits for two others: with fewer at a time, this would not end."""
    together = Barrier(3)
    results = parallel_map(lambda _: together.wait(LIMIT_S), range(9), at_once=3)
    assert sorted(done.result() for _, done in results) == [0, 0, 0, 1, 1, 1, 2, 2, 2]


def test_what_is_begun_and_not_yet_taken_is_bounded() -> None:
    begun = taken = most = 0
    counting = Lock()

    def work(_: int) -> None:
        nonlocal begun, most
        with counting:
            begun += 1
            most = max(most, begun - taken)

    for _, done in parallel_map(work, range(100), at_once=3):
        done.result()
        with counting:
            taken += 1
    assert begun == 100
    assert most <= 7  # twice as many as at once, and the one in hand


def test_nothing_is_begun_for_a_reader_that_has_ended() -> None:
    begun: list[int] = []
    append: Callable[[int], None] = begun.append
    results = parallel_map(append, range(1000), at_once=2)
    next(results)
    results.close()
    assert len(begun) <= 4
