"""What a model of the service predicts, beside what was measured; what more machines would do, and cost."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table

from benchmarks.prices import Prices
from benchmarks.queueing import Machines, Outcome, Simulation
from benchmarks.scaling import cost_per_million

COUNTS = (1, 2, 4, 8, 16, 32)
SIMULATED_SCANS = 20_000
"""Enough for a 99th percentile that the next run prints again, to a few percent."""


@dataclass(frozen=True)
class Compared:
    """A load, what was predicted for it, and what was measured then."""

    load: str
    predicted: Outcome
    measured: Outcome


def print_comparison(compared: Sequence[Compared], console: Console) -> None:
    """Print predicted and measured figures side by side."""
    table = Table("load", "", "scans/s", "p50 ms", "p95 ms", "p99 ms", "503", "failed")
    for row in compared:
        for name, outcome in (("predicted", row.predicted), ("measured", row.measured)):
            table.add_row(row.load, name, *_figures(outcome), str(outcome.failed))
    console.print(table)


def print_growth(machines: Machines, share: float, console: Console) -> None:
    """Print what more such machines would do at a share of their capacity; nobody has measured these."""
    console.print(
        f"predicted, not measured: arrivals by chance at {share:.0%} of the capacity, "
        f"balanced by {machines.balancing}"
    )
    table = Table("machines", "arrivals/s", "scans/s", "p50 ms", "p95 ms", "p99 ms", "503")
    for count in COUNTS:
        grown = replace(machines, count=count)
        rate = share * grown.capacity_per_s
        outcome = Simulation(grown).open_load(rate, SIMULATED_SCANS / rate)
        table.add_row(str(count), f"{rate:.1f}", *_figures(outcome))
    console.print(table)


def print_costs(prices: Prices, measured_per_s: float, cores: int, console: Console) -> None:
    """Print what a million scans cost, where the speed is known."""
    console.print(
        f"list prices of {prices.as_of}, check your own; a machine without pause, and as fast as this one "
        f"({measured_per_s:.1f} scans/s) where it has {cores} cores too"
    )
    table = Table("machine", "cores", f"{prices.currency} an hour", f"{prices.currency} a million scans")
    for machine in prices.machines:
        speed = machine.speed(measured_per_s, cores)
        cost = "not measured" if speed is None else f"{cost_per_million(machine.price_per_hour, speed):.2f}"
        table.add_row(machine.name, str(machine.cores), f"{machine.price_per_hour:g}", cost)
    console.print(table)


def _figures(outcome: Outcome) -> tuple[str, ...]:
    times = (f"{outcome.percentile_ms(percent):.0f}" for percent in (50, 95, 99))
    return f"{outcome.scans_per_s:.1f}", *times, f"{outcome.refused_share:.1%}"
