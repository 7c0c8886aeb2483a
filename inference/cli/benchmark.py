"""`python -m inference benchmark`."""

import tempfile
import time
from itertools import cycle, islice
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console

from inference.cli.results.results_folder import Results
from inference.cli.scans.sources import Source
from inference.cli.segment import segment_sources
from inference.ensemble import Ensemble, load_ensemble
from inference.settings import read_settings
from utils import decode_image

SAMPLE = Path(__file__).parents[2] / "samples" / "phantom_1.png"


def benchmark(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(help="Scans to measure with; by default a sample.", show_default=False),
    ] = None,
    scans: Annotated[int, typer.Option(min=2, help="How many scans are segmented, each way.")] = 30,
) -> None:
    """Measure how fast this machine segments: how long one scan takes, and how many a second.

    One after the other, from the file's bytes to the mask; then as `segment` does it, pictures written,
    with other scans beside. `python -m benchmarks` compares engines and measures the service.
    """
    contents = list(islice(cycle([path.read_bytes() for path in paths or [SAMPLE]]), scans))
    ensemble = load_ensemble(read_settings())
    for content in dict.fromkeys(contents):  # the first pass over a shape costs more
        ensemble.predict(decode_image(content))
    console = Console()
    console.print(f"{ensemble.engine.name}, {len(ensemble.folds)} folds, {len(ensemble.tta_ops)} views")
    times_ms = [_time_ms(ensemble, content) for content in contents]
    median, slow = np.percentile(times_ms, (50, 95))
    console.print(f"one scan: {median:.0f} ms, p95 {slow:.0f} ms")
    console.print(f"segment: {scans / _segment_s(ensemble, contents):.2f} scans/s")


def _time_ms(ensemble: Ensemble, content: bytes) -> float:
    started = time.perf_counter()
    ensemble.predict(decode_image(content))
    return 1000 * (time.perf_counter() - started)


def _segment_s(ensemble: Ensemble, contents: list[bytes]) -> float:
    """Return how many seconds all scans take, side by side, their pictures written."""
    sources = [Source(Path(f"{number}.png"), content) for number, content in enumerate(contents)]
    with tempfile.TemporaryDirectory() as folder:
        results = Results(Path(folder))
        started = time.perf_counter()
        for _, done in segment_sources(ensemble, sources, results):
            done.result()
        return time.perf_counter() - started
