"""The same folds on the same scan in every engine: how long a mask takes, and how busy the cores are."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.engines import EagerEngine, OnnxEngine
from benchmarks.service import percentiles
from inference.engines.engine import Engine
from inference.engines.openvino_engine import OpenVinoEngine
from inference.engines.torch_engine import TorchEngine
from inference.ensemble import Ensemble
from inference.errors import SettingsError
from inference.preparation import ORIGINAL_PREPARATION, Preparation
from inference.tta import FLIPS
from inference.weights.checkpoints import load_network
from inference.weights.fold_file import FoldFile
from utils import Scan

MATMUL_SIZE = 2048
MATMUL_REPEATS = 10

ORIGINAL_VIEWS, ORIGINAL_BATCH = (
    "original's recipe, view by view",
    "original's recipe, four views as one batch",
)
EAGER = "eager PyTorch"


@dataclass(frozen=True)
class Timing:
    """How long one way of making a mask takes: decoded scan in, mask out, all folds and four flips."""

    name: str
    passes: int
    p50_ms: float
    p95_ms: float
    gflop_per_s: float


class Inline(Executor):
    """Runs everything in the main thread, where eager PyTorch is a good deal faster: memory is used again."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call now."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


def time_recipes(folds: Sequence[FoldFile], scan: Scan, *, repeats: int) -> Iterator[Timing]:
    """Yield the timing of every engine that runs here; the original's recipe, once each, comes first.

    Of the original's recipe, which takes a good part of a minute, one fold is timed and counted for
    each: the others pass the same scan through the same network.
    """
    stretched = [_prepared_as(folds[0], ORIGINAL_PREPARATION)]
    for name, views in ((ORIGINAL_VIEWS, 1), (ORIGINAL_BATCH, len(FLIPS))):
        one = _timing(name, stretched, partial(EagerEngine, stretched, views_per_pass=views), scan, 1)
        yield _of_folds(one, len(folds))
    cpu = torch.device("cpu")
    engines: dict[str, Callable[[], Engine]] = {
        EAGER: lambda: EagerEngine(folds, views_per_pass=1),
        f"{EAGER}, channels last": lambda: TorchEngine(folds, cpu, "f32"),
        "ONNX Runtime": lambda: OnnxEngine(folds),
    }
    for precision in ("f32", "bf16", "int8"):
        engines[f"OpenVINO {precision}"] = lambda precision=precision: OpenVinoEngine(
            folds, precision=precision
        )  # type: ignore[misc]
    if torch.cuda.is_available():
        engines[torch.cuda.get_device_name()] = lambda: TorchEngine(folds, torch.device("cuda"), "auto")
    for name, engine in engines.items():
        with suppress(SettingsError):  # a precision that this processor does not have
            yield _timing(name, folds, engine, scan, repeats)


def matmul_gflop_per_s() -> float:
    """Return what a large float32 matrix product reaches here, at its best."""
    left, right = torch.rand(2, MATMUL_SIZE, MATMUL_SIZE).unbind()
    seconds = []
    for _ in range(MATMUL_REPEATS):
        started = time.perf_counter()
        left @ right
        seconds.append(time.perf_counter() - started)
    return float(2 * MATMUL_SIZE**3 / min(seconds) / 1e9)


def _timing(
    name: str, folds: Sequence[FoldFile], make_engine: Callable[[], Engine], scan: Scan, repeats: int
) -> Timing:
    engine = make_engine()
    inline = Inline() if engine.parallel_passes == 1 else None
    ensemble = Ensemble(folds, engine, tta_ops=tuple(FLIPS), threshold=0.5, passes=inline)
    if repeats > 1:
        ensemble.predict(scan)  # the first pass over a shape costs more
    times_ms = []
    for _ in range(repeats):
        started = time.perf_counter()
        ensemble.predict(scan)
        times_ms.append(1000 * (time.perf_counter() - started))
    p50, p95 = percentiles(times_ms)
    passes = len(folds) * len(FLIPS)
    return Timing(name, passes, p50, p95, passes * _gflop(folds[0], scan) / (p50 / 1000))


def _of_folds(one: Timing, folds: int) -> Timing:
    """Return the timing of folds that pass one after the other, from the timing of one."""
    return replace(one, passes=folds * one.passes, p50_ms=folds * one.p50_ms, p95_ms=folds * one.p95_ms)


def _prepared_as(fold: FoldFile, preparation: Preparation) -> FoldFile:
    return replace(fold, metadata=fold.metadata.model_copy(update={"preparation": preparation}))


def _gflop(fold: FoldFile, scan: Scan) -> float:
    """Return the floating-point operations of one pass, in billions; a multiply-add counts as two.

    They are counted on shapes alone, without doing them.
    """
    height, width = fold.metadata.preparation.padded_size((scan.shape[0], scan.shape[1]))
    network = load_network(fold).to("meta")
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        network(torch.zeros(1, 1, height, width, device="meta"))
    return float(counter.get_total_flops() / 1e9)
