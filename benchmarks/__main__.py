"""`python -m benchmarks`: how fast masks are made, how many clients are served, and where the time goes."""

import json
import platform
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from benchmarks.prices import PRICES, read_prices
from benchmarks.queueing import Balancing, Machines
from benchmarks.recipes import Timing, matmul_gflop_per_s, time_recipes
from benchmarks.report import Measured, draw, print_stages, print_tables
from benchmarks.scaling import BUSY_CLIENTS, LOADS, Meter, calibrate, measure, predict
from benchmarks.scaling_report import Compared, print_comparison, print_costs, print_growth
from benchmarks.service import RunningService, measure_load, percentiles, running_service
from benchmarks.soak import soak
from inference.engines.cores import usable_cores
from inference.ensemble import load_ensemble
from inference.errors import SegmentationError
from inference.settings import read_settings
from inference.tta import FLIPS
from inference.weights.ensemble_file import read_folds
from training.phantoms.drawing import make_phantom
from utils import decode_request, encode_request

SCAN_SIZE = (489, 400)
HEIGHTS = (300, 400, 489, 600, 800, 991)
CLIENTS = (1, 4, 16)
MIXED_SIZES = 50
REPEATS = 20
ROUNDS_ALONE = 5

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
console = Console(soft_wrap=True)


@app.command()
def run(
    out: Annotated[Path, typer.Option(help="Where benchmark.json and benchmark.png go.")] = Path("results"),
    seconds: Annotated[float, typer.Option(help="How long each number of clients sends scans.")] = 10,
    repeats: Annotated[int, typer.Option(min=2, help="How many masks are timed.")] = REPEATS,
    scans: Annotated[int, typer.Option(min=5, help="How many scans memory is watched over.")] = 500,
) -> None:
    """Compare the original system's recipe, the engines and the service: one table, one plot."""
    settings = read_settings()
    with tempfile.TemporaryDirectory() as bytecode, running_service(PYTHONPYCACHEPREFIX=bytecode) as first:
        pass
    with running_service() as warm:
        loads = []
        for clients in CLIENTS:
            loads.append(measure_load(warm, [_body(SCAN_SIZE)], clients=clients, seconds=seconds))
            console.print(f"{clients} clients: {loads[-1].scans_per_s:.1f} scans/s")
        by_height = {height: _median_ms(warm, height, repeats) for height in HEIGHTS}
        memory = _memory(warm, scans)
    with running_service(TTA_OPS=",".join(FLIPS)) as service:
        all_flips = measure_load(service, [_body(SCAN_SIZE)], clients=1, seconds=seconds)
    folds, _ = read_folds(settings)
    scan = make_phantom(0, size=SCAN_SIZE).grey
    ceiling = matmul_gflop_per_s()
    timings: list[Timing] = []
    for timing in time_recipes(folds, scan, repeats=repeats):
        console.print(f"{timing.name}: {timing.p50_ms:.0f} ms")
        timings.append(timing)
    measured = Measured(
        processor=_processor(),
        cores=usable_cores(),
        matmul_gflop_per_s=ceiling,
        timings=timings,
        service_all_flips=all_flips,
        service=loads,
        ready_first_s=first.ready_s,
        ready_warm_s=warm.ready_s,
        ms_by_height=by_height,
        memory_mib=memory,
    )
    print_tables(measured, console)
    out.mkdir(parents=True, exist_ok=True)
    (out / "benchmark.json").write_text(json.dumps(asdict(measured), indent=1) + "\n")
    draw(measured, out / "benchmark.png")
    console.print(f"figures and plot: {out / 'benchmark.json'}, {out / 'benchmark.png'}")


@app.command()
def profile(repeats: int = REPEATS) -> None:
    """Say how long each stage of a request takes, without HTTP around it."""
    ensemble = load_ensemble(read_settings())
    request = encode_request(make_phantom(0, size=SCAN_SIZE).grey)
    stages_ms: dict[str, list[float]] = {}
    for _ in range(repeats + 1):
        started = time.perf_counter()
        scan = decode_request(request)
        decoded = time.perf_counter()
        prediction = ensemble.predict(scan)
        predicted = time.perf_counter()
        encode_request(prediction.mask)
        encoded = time.perf_counter()
        times_ms = {
            "decode": 1000 * (decoded - started),
            **prediction.timings_ms,
            "encode": 1000 * (encoded - predicted),
        }
        for stage, milliseconds in times_ms.items():
            stages_ms.setdefault(stage, []).append(milliseconds)
    print_stages({stage: percentiles(times[1:])[0] for stage, times in stages_ms.items()}, console)


@app.command("soak")
def soak_service(
    seconds: Annotated[float, typer.Option(min=10, help="For how long.")] = 60,
    clients: Annotated[int, typer.Option(min=1, help="How many clients send scans.")] = 4,
) -> None:
    """Have clients send scans of mixed sizes for a long time; fail where anything creeps."""
    with running_service() as service:
        seen = soak(service, _mixed_bodies(), clients=clients, seconds=seconds)
    console.print(
        f"{seen.scans} scans in {seen.seconds:g} s from {clients} clients, {len(seen.errors)} errors"
    )
    console.print(
        f"memory in MiB: {seen.memory_mib[0]:.0f} in the first tenth, {seen.memory_mib[1]:.0f} in the last"
    )
    console.print(f"p95 ms: {seen.p95_ms[0]:.0f} in the first tenth, {seen.p95_ms[1]:.0f} in the last")
    for fault in seen.faults:
        console.print(fault)
    if seen.faults:
        raise typer.Exit(1)


@app.command()
def scaling(
    seconds: Annotated[float, typer.Option(min=5, help="How long each load is sent.")] = 30,
    balancing: Annotated[
        Balancing, typer.Option(help="Which of several machines a scan goes to.")
    ] = Balancing.TWO_CHOICES,
    share: Annotated[float, typer.Option(min=0.05, help="Which share of their capacity machines get.")] = 0.8,
    prices: Annotated[Path, typer.Option(help="What machines cost.")] = PRICES,
) -> None:
    """Measure one service, hold a model of it against it, and say what more machines would do and cost."""
    priced = read_prices(prices)
    settings = read_settings()
    bodies = [_body((height, SCAN_SIZE[1])) for height in HEIGHTS]
    with running_service(API_KEY="") as service:
        meter = Meter(service, bodies)
        alone_s = meter.alone(ROUNDS_ALONE)
        busy = meter.closed(BUSY_CLIENTS, seconds)
        views = len(settings.tta_ops or read_folds(settings)[1].tta_ops) if settings.tta else 1
        machine = Machines(
            calibrate(alone_s, busy.scans_per_s),
            views=views,
            max_queue=settings.max_queue,
            deadline_s=settings.deadline_s,
            balancing=balancing,
        )
        compared = []
        for load in LOADS:
            seen = measure(meter, machine.capacity_per_s, load, seconds)
            compared.append(Compared(str(load), predict(machine, load, seconds), seen))
            console.print(f"{load}: {seen.scans_per_s:.1f} scans/s")
    cores = usable_cores()
    console.print(f"{_processor()}, {cores} cores; phantoms {SCAN_SIZE[1]} px wide, {HEIGHTS} px high")
    print_comparison(compared, console)
    print_growth(machine, share, console)
    print_costs(priced, machine.capacity_per_s, cores, console)


def _mixed_bodies(most: int = MIXED_SIZES) -> list[bytes]:
    """Return requests with scans of mixed sizes, no more than are asked for."""
    sizes = np.random.default_rng(0).integers((300, 300), (992, 501), size=(MIXED_SIZES, 2))[:most]
    return [_body((int(height), int(width)), seed) for seed, (height, width) in enumerate(sizes)]


def _body(size: tuple[int, int], seed: int = 0) -> bytes:
    """Return a request with a phantom of (height, width)."""
    return json.dumps({"img": encode_request(make_phantom(seed, size=size).grey)}).encode()


def _median_ms(service: RunningService, height: int, repeats: int) -> float:
    body = _body((height, SCAN_SIZE[1]))
    times_ms = []
    for _ in range(repeats + 1):
        started = time.perf_counter()
        service.predict(body)
        times_ms.append(1000 * (time.perf_counter() - started))
    return percentiles(times_ms[1:])[0]


def _memory(service: RunningService, scans: int) -> dict[str, float] | None:
    """Return the service's memory in MiB after a fifth of the scans, of mixed sizes, and after all."""
    if not Path("/proc/self/status").exists():
        return None
    bodies, memory = _mixed_bodies(scans), {}
    for number in range(scans):
        service.predict(bodies[number % len(bodies)])
        if number + 1 in (scans // 5, scans):
            memory[f"after {number + 1} scans"] = service.memory_mib("VmRSS")
    return memory | {"peak": service.memory_mib("VmHWM")}


def _processor() -> str:
    """Return the processor's name, as the operating system has it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def main() -> int:
    """Run a command; what the user can mend ends in one sentence, not in a traceback."""
    try:
        app()
    except (SegmentationError, OSError, RuntimeError) as error:
        console.print(f"error: {error}", markup=False, highlight=False)
    return 1


if __name__ == "__main__":
    sys.exit(main())
