"""The simulated service against queueing theory, and against what has to hold whatever is simulated."""

import math

import numpy as np
import pytest

from benchmarks.queueing import Balancing, Machines, Outcome, ScanTime, Simulation

SERVICE_S = 0.1
PLAIN = Machines([ScanTime(SERVICE_S)], views=1, max_queue=math.inf, deadline_s=math.inf)
SCANS = 15_000


def arrivals(machines: Machines, load: float, scans: int = SCANS, seed: int = 1) -> Outcome:
    """Return what comes of a number of scans that arrive at a share of the capacity."""
    rate = load * machines.capacity_per_s
    return Simulation(machines, seed=seed).open_load(rate, scans / rate)


def changed(**changes: object) -> Machines:
    return Machines(**(vars(PLAIN) | changes))


def mean_in_system(load: float, servers: int) -> float:
    """Return how many are in an M/D/c system, waiting or served, on average.

    Whoever is served now is gone one service time later, and whoever came meanwhile is still there, so
    numbers at such distances are a Markov chain (Crommelin 1932).
    """
    size, offered = 200, load * servers
    came = np.exp([n * math.log(offered) - offered - math.lgamma(n + 1) for n in range(size)])
    chance = np.full(size, 1 / size)
    for _ in range(2000):
        left = np.concatenate([[chance[: servers + 1].sum()], chance[servers + 1 :]])
        chance = np.convolve(left, came)[:size]
        chance /= chance.sum()
    return float(chance @ np.arange(size))


@pytest.mark.parametrize("load", [0.5, 0.7])
def test_one_machine_of_chance_is_an_mm1(load: float) -> None:
    seen = arrivals(changed(exponential=True), load)
    pause_s = SERVICE_S / (1 - load)
    assert np.mean(seen.answers_s) == pytest.approx(pause_s, rel=0.07)
    assert seen.percentile_ms(95) == pytest.approx(-1000 * math.log(0.05) * pause_s, rel=0.1)


@pytest.mark.parametrize("servers", [1, 3])
def test_scans_that_take_the_same_are_an_mdc(servers: int) -> None:
    load = 0.8
    seen = arrivals(changed(scans_at_once=servers), load)
    expected_s = mean_in_system(load, servers) * SERVICE_S / (load * servers)
    assert np.mean(seen.answers_s) == pytest.approx(expected_s, rel=0.05)
    if servers == 1:  # Pollaczek and Khinchin
        assert expected_s == pytest.approx(SERVICE_S * (1 + load / (2 * (1 - load))), rel=1e-3)


def test_a_full_queue_refuses_as_many_as_theory_says() -> None:
    room, load = 5, 0.9
    seen = arrivals(changed(exponential=True, max_queue=room), load)
    lost = (1 - load) * load**room / (1 - load ** (room + 1))
    assert seen.refused_share == pytest.approx(lost, rel=0.1)


def test_machines_that_scans_are_sent_to_by_chance_are_as_slow_as_one() -> None:
    machines = changed(exponential=True, count=4, balancing=Balancing.RANDOM)
    by_chance = arrivals(machines, 0.7)
    assert np.mean(by_chance.answers_s) == pytest.approx(SERVICE_S / 0.3, rel=0.1)
    means = [
        np.mean(arrivals(changed(exponential=True, count=4, balancing=how), 0.7).answers_s)
        for how in (Balancing.LEAST, Balancing.TWO_CHOICES)
    ]
    assert means[0] < means[1] < 0.7 * np.mean(by_chance.answers_s)


@pytest.mark.parametrize("load", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("count", [1, 3])
def test_no_scan_is_lost_and_none_is_too_late(load: float, count: int) -> None:
    machines = Machines([ScanTime(0.1, 0.01), ScanTime(0.3, 0.02)], count=count, max_queue=200, deadline_s=2)
    seen = arrivals(machines, load, scans=3000)
    assert seen.sent == len(seen.answers_s) + seen.refused
    assert seen.failed == 0
    assert min(seen.answers_s) >= 0.06  # where time is short, one view of the two
    assert max(seen.answers_s) < 2 * 2
    assert (seen.refused > 0) == (load >= 1)


def test_clients_that_wait_for_answers_keep_a_machine_busy_and_wait_their_turn() -> None:
    machines = changed(scan_times=[ScanTime(0.1, 0.02)])
    alone = Simulation(machines).closed_load(1, 60)
    assert alone.percentile_ms(50) == pytest.approx(120)
    many = Simulation(machines).closed_load(8, 60)
    assert many.scans_per_s == pytest.approx(10, rel=0.02)
    assert many.percentile_ms(50) == pytest.approx(800, rel=0.01)
    assert many.sent == len(many.answers_s)


def test_clients_that_are_told_to_come_back_do() -> None:
    seen = Simulation(changed(max_queue=2)).closed_load(4, 30)
    assert seen.refused > 0
    assert seen.sent == len(seen.answers_s) + seen.refused
    assert seen.scans_per_s == pytest.approx(10, rel=0.1)
