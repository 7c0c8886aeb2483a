"""What a benchmark run found, as tables and as a plot: ratios first, for times differ by machine."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from benchmarks.recipes import EAGER, ORIGINAL_BATCH, Timing
from benchmarks.service import Load

SERVICE = "this service over HTTP, four views"
SERVICE_SHIPPED = "this service over HTTP, as shipped"


@dataclass(frozen=True)
class Measured:
    """One run of the benchmark."""

    processor: str
    cores: int
    matmul_gflop_per_s: float
    timings: Sequence[Timing]
    service_all_flips: Load
    service: Sequence[Load]
    ready_first_s: float
    ready_warm_s: float
    ms_by_height: Mapping[int, float]
    memory_mib: Mapping[str, float] | None

    def p50_ms(self) -> dict[str, float]:
        """Return the median time of a mask by what made it, the service last."""
        times = {timing.name: timing.p50_ms for timing in self.timings}
        return times | {SERVICE: self.service_all_flips.p50_ms, SERVICE_SHIPPED: self.service[0].p50_ms}


def print_tables(measured: Measured, console: Console) -> None:
    """Print speed, load, readiness and memory."""
    console.print(f"{measured.processor}, {measured.cores} cores; a 400 x 489 scan, three folds")
    times = measured.p50_ms()
    p95 = {timing.name: timing.p95_ms for timing in measured.timings}
    p95 |= {SERVICE: measured.service_all_flips.p95_ms, SERVICE_SHIPPED: measured.service[0].p95_ms}
    shares = {timing.name: timing.gflop_per_s / measured.matmul_gflop_per_s for timing in measured.timings}
    table = Table(
        "a mask by",
        "times the original's batch",
        "times eager PyTorch",
        "p50 ms",
        "p95 ms",
        "of a matrix product",
    )
    for name, p50 in times.items():
        table.add_row(
            name,
            f"{times[ORIGINAL_BATCH] / p50:.1f}",
            f"{times[EAGER] / p50:.2f}",
            f"{p50:.0f}",
            f"{p95[name]:.0f}",
            f"{shares[name]:.0%}" if name in shares else "",
        )
    console.print(table)
    table = Table("clients", "scans/s", "of one client's", "p50 ms", "p95 ms", "p95 of one's p50", "errors")
    alone = measured.service[0]
    for load in measured.service:
        table.add_row(
            str(load.clients),
            f"{load.scans_per_s:.1f}",
            f"{load.scans_per_s / alone.scans_per_s:.2f}",
            f"{load.p50_ms:.0f}",
            f"{load.p95_ms:.0f}",
            f"{load.p95_ms / alone.p50_ms:.1f}",
            str(load.errors),
        )
    console.print(table)
    heights = ", ".join(f"{height} px {ms:.0f} ms" for height, ms in measured.ms_by_height.items())
    console.print(f"by height of a scan 400 px wide: {heights}")
    console.print(
        f"ready after {measured.ready_first_s:.1f} s without bytecode, {measured.ready_warm_s:.1f} s with"
    )
    if measured.memory_mib is not None:
        memory = ", ".join(f"{when} {mib:.0f} MiB" for when, mib in measured.memory_mib.items())
        console.print(f"memory, scans of mixed sizes: {memory}")


def print_stages(stages_ms: Mapping[str, float], console: Console) -> None:
    """Print the time of each stage of a request, and its share of the whole."""
    table = Table("stage", "p50 ms", "share")
    total = sum(stages_ms.values())
    for stage, milliseconds in stages_ms.items():
        table.add_row(stage, f"{milliseconds:.2f}", f"{milliseconds / total:.0%}")
    console.print(table)


def draw(measured: Measured, path: Path) -> None:
    """Draw how many times faster each is than the original's recipe, and the cost against pixels."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    bars, lines = figure.subplots(1, 2, width_ratios=(3, 2))
    times = measured.p50_ms()
    ratios = {name: times[ORIGINAL_BATCH] / p50 for name, p50 in times.items()}
    drawn = bars.barh(list(ratios), list(ratios.values()), color="#0072b2")
    bars.bar_label(drawn, [f"{ratio:.1f}" for ratio in ratios.values()], padding=3)
    bars.set_xscale("log")
    bars.set_xlabel("times as fast as the original's recipe, four views as one batch")
    bars.invert_yaxis()
    bars.margins(x=0.15)
    pixels = [height * 400 / 1e6 for height in measured.ms_by_height]
    lines.plot(pixels, list(measured.ms_by_height.values()), marker="o", color="#0072b2")
    lines.set_xlabel("megapixels of a scan, 400 px wide")
    lines.set_ylabel("ms a scan over HTTP, as shipped")
    lines.set_ylim(bottom=0)
    lines.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
