"""PyTorch: the engine on CUDA cards, and the float32 reference on CPUs."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import numpy as np
import torch

from inference.errors import SettingsError
from inference.preparation import FloatMap
from inference.weights.checkpoints import load_network
from inference.weights.fold_file import FoldFile

CUDA_VIEWS = 4


class TorchEngine:
    """Eager PyTorch, channels last: bfloat16 with all views in one batch on CUDA, float32 on a CPU."""

    def __init__(self, folds: Sequence[FoldFile], device: torch.device, precision: str) -> None:
        self.device = device
        self.precision = _resolve_precision(device, precision)
        self.name = f"torch-{device.type}-{self.precision}"
        self.parallel_passes = 1
        self.views_per_pass = CUDA_VIEWS if device.type == "cuda" else 1
        self.networks = [load_network(fold).to(device, memory_format=torch.channels_last) for fold in folds]  # type: ignore[call-overload]

    @torch.inference_mode()
    def run(self, fold: int, views: FloatMap) -> FloatMap:
        """Return the probability of every pixel: (B, h, w) float32 in, (B, h, w) float32 in 0..1 out."""
        inputs = torch.from_numpy(views).to(self.device)[:, None]  # (B, 1, h, w)
        with self._autocast():
            logits = self.networks[fold](inputs.contiguous(memory_format=torch.channels_last))
        return np.asarray(logits[:, 0].float().sigmoid().cpu().numpy())  # (B, h, w)

    def _autocast(self) -> AbstractContextManager[object]:
        if self.precision == "f32":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16)


def choose_device(device: str) -> torch.device:
    """Return the device that `DEVICE` names; "auto" is CUDA where PyTorch can use a card."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("DEVICE=cuda, but PyTorch finds no CUDA card here: set DEVICE=auto or DEVICE=cpu")
    return torch.device(device)


def _resolve_precision(device: torch.device, precision: str) -> str:
    if precision == "int8":
        raise SettingsError("PRECISION=int8 is OpenVINO's alone: set ENGINE=openvino, or another PRECISION")
    if precision == "auto":
        return "bf16" if device.type == "cuda" else "f32"
    return precision
