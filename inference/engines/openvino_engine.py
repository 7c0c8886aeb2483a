"""OpenVINO: the engine on CPUs."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

import numpy as np
import openvino as ov

from inference.engines.cores import usable_cores
from inference.engines.freed_memory import give_back_freed_memory
from inference.engines.quantization import quantize
from inference.engines.unet_graph import build_graph
from inference.errors import SettingsError
from inference.preparation import FloatMap
from inference.weights.activation_ranges import ActivationRanges, read_ranges
from inference.weights.fold_file import FoldFile

CORES_A_STREAM = 2
MAX_STREAMS = 4
"""More streams serve many clients better, one client worse, and cost memory."""

KEPT_KERNELS = 1000
"""Compiled kernels that each stream keeps for heights and widths that it has seen: those of about 25."""


class OpenVinoEngine:
    """OpenVINO on the CPU, compiled once for all heights and widths.

    A pass sees one view on one stream, which has two cores or more of its own.
    """

    def __init__(self, folds: Sequence[FoldFile], *, precision: str) -> None:
        give_back_freed_memory()
        core = ov.Core()
        _touch_arrays()
        ranges = [read_ranges(fold) for fold in folds]
        self.precision = choose_precision(precision, native_bf16=_has_bf16(core), ranges=ranges)
        self.name = f"openvino-{self.precision}"
        cores = usable_cores()
        self.parallel_passes = max(1, min(cores // CORES_A_STREAM, MAX_STREAMS))
        self.views_per_pass = 1
        options = {
            "NUM_STREAMS": self.parallel_passes,
            "INFERENCE_NUM_THREADS": cores,
            "ENABLE_CPU_PINNING": False,  # the folds' streams share the cores
            "CPU_RUNTIME_CACHE_CAPACITY": KEPT_KERNELS,
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision != "f32" and _has_bf16(core) else "f32",
        }

        def compile_fold(fold: FoldFile, of_fold: ActivationRanges | None) -> ov.CompiledModel:
            model = build_graph(fold)
            if self.precision == "int8":
                assert of_fold is not None
                quantize(model, of_fold)
            return core.compile_model(model, "CPU", options)

        with ThreadPoolExecutor(cores) as pool:
            compiled = list(pool.map(compile_fold, folds, ranges))
        self._idle = [self._requests(model) for model in compiled]

    def run(self, fold: int, views: FloatMap) -> FloatMap:
        """Return the probability of every pixel: (B, h, w) float32 in, (B, h, w) float32 in 0..1 out."""
        request = self._idle[fold].get()
        try:
            return np.stack([request.infer({0: view[None, None]})[0][0, 0] for view in views])
        finally:
            self._idle[fold].put(request)

    def _requests(self, model: ov.CompiledModel) -> "SimpleQueue[ov.InferRequest]":
        requests: SimpleQueue[ov.InferRequest] = SimpleQueue()
        for _ in range(self.parallel_passes):
            requests.put(model.create_infer_request())
        return requests


def choose_precision(wanted: str, *, native_bf16: bool, ranges: Sequence[ActivationRanges | None]) -> str:
    """Return "int8", "bf16" or "f32"; "auto" is bfloat16 where there is such, else float32.

    INT8 is faster, and costs too much accuracy to be chosen unasked (docs/speed.md).

    Raises `SettingsError` for a precision that they do not.
    """
    if wanted == "auto":
        return "bf16" if native_bf16 else "f32"
    if wanted == "int8" and not all(ranges):
        raise SettingsError(
            "PRECISION=int8 needs the folds' activation ranges: make them with "
            "`python -m training quantize`, or set PRECISION=auto"
        )
    if wanted == "bf16" and not native_bf16:
        raise SettingsError("PRECISION=bf16, but this processor has no bfloat16: set PRECISION=auto")
    return wanted


def _touch_arrays() -> None:
    """Have the binding set up NumPy now: two threads that come to it first, and at once, never return."""
    assert ov.Tensor(np.zeros(1, np.float32)).data.size == 1


def _has_bf16(core: ov.Core) -> bool:
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
