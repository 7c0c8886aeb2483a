"""What runs the folds' networks: one engine a process, behind one small interface."""

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from typing import Protocol

from loguru import logger

from inference.engines.cuda import has_cuda_card
from inference.errors import SettingsError
from inference.preparation import FloatMap
from inference.settings import Settings
from inference.weights.fold_file import FoldFile

TORCH_PACKAGES = ("torch", "segmentation_models_pytorch")
TORCH_REMEDY = "start with `uv run --group torch api.py`"


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

    By default that is PyTorch where it is installed and there is a CUDA card, and OpenVINO on the CPU
    otherwise, which does without PyTorch.
    Raises `SettingsError` where the three do not go together or a library is missing, `WeightsError` for
    a fold that is no UNet.
    """
    if _wants_torch(settings) and _has_torch(settings):
        from inference.engines.torch_engine import TorchEngine, choose_device

        device = choose_device(settings.device)
        if settings.engine == "torch" or device.type == "cuda":
            return TorchEngine(folds, device, settings.precision)
        logger.warning("there is a CUDA card, but PyTorch cannot use it: serving from the CPU")
    if settings.device == "cuda":
        raise SettingsError(
            "ENGINE=openvino runs on the CPU, but DEVICE=cuda: set ENGINE=torch or DEVICE=auto"
        )
    require_openvino()
    from inference.engines.openvino_engine import OpenVinoEngine

    return OpenVinoEngine(folds, precision=settings.precision)


def require_openvino() -> None:
    """Import OpenVINO without what tells its makers so; raises `SettingsError` where that fails."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # it does without
    try:
        import openvino  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"OpenVINO cannot be imported ({error}): install it with `uv sync --reinstall-package openvino`, "
            "or set ENGINE=torch where PyTorch is installed"
        ) from None


def _wants_torch(settings: Settings) -> bool:
    if settings.engine != "auto":
        return settings.engine == "torch"
    return settings.device == "cuda" or (settings.device == "auto" and has_cuda_card())


def _has_torch(settings: Settings) -> bool:
    """Say whether PyTorch is installed; raises `SettingsError` where it is not, and nothing else will do."""
    if all(find_spec(name) for name in TORCH_PACKAGES):
        return True
    if settings.engine == "torch" or settings.device == "cuda":
        asked = "ENGINE=torch" if settings.engine == "torch" else "DEVICE=cuda"
        raise SettingsError(f"{asked} needs PyTorch, which is not installed: {TORCH_REMEDY}")
    logger.warning("there is a CUDA card, but no PyTorch: serving from the CPU ({})", TORCH_REMEDY)
    return False
