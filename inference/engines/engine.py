"""What runs the folds' networks: one engine a process, behind one small interface."""

from collections.abc import Sequence
from typing import Protocol

from loguru import logger

from inference.engines.cuda import has_cuda_card
from inference.errors import SettingsError
from inference.preparation import FloatMap
from inference.settings import Settings
from inference.weights.fold_file import FoldFile


class Engine(Protocol):
    """Maps prepared scans to tumour probabilities with the networks of a few folds."""

    name: str
    """The engine and its precision, such as "openvino-int8"."""

    parallel_passes: int
    """How many calls of `run` the engine works on side by side."""

    views_per_pass: int
    """How many views of a scan one call should bring at most."""

    def run(self, fold: int, views: FloatMap) -> FloatMap:
        """Return the probability of every pixel: (B, h, w) float32 in, (B, h, w) float32 in 0..1 out.

        `fold` counts in the order in which the engine was given the folds.
        """
        ...


def open_engine(folds: Sequence[FoldFile], settings: Settings) -> Engine:
    """Load folds into the engine that `ENGINE`, `DEVICE` and `PRECISION` name.

    By default that is PyTorch where there is a CUDA card, and OpenVINO on the CPU otherwise; then
    PyTorch is imported nowhere but in the processes that convert folds for the first time.
    Raises `SettingsError` where the three do not go together, `WeightsError` for a fold that is no UNet.
    """
    if _wants_torch(folds, settings):
        from inference.engines.torch_engine import TorchEngine, choose_device

        device = choose_device(settings.device)
        if settings.engine == "torch" or device.type == "cuda":
            return TorchEngine(folds, device, settings.precision)
        logger.warning("there is a CUDA card, but PyTorch cannot use it: serving from the CPU")
    if settings.device == "cuda":
        raise SettingsError(
            "ENGINE=openvino runs on the CPU, but DEVICE=cuda: set ENGINE=torch or DEVICE=auto"
        )
    from inference.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(folds, precision=settings.precision, cache_dir=settings.model_cache_dir)


def _wants_torch(folds: Sequence[FoldFile], settings: Settings) -> bool:
    if settings.engine != "auto":
        return settings.engine == "torch"
    if settings.device == "cuda":
        return True
    return settings.device == "auto" and not any(fold.is_converted for fold in folds) and has_cuda_card()
