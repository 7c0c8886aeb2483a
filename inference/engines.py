"""What runs a fold's network: one small interface, one engine a fold."""

from typing import Protocol

import numpy as np
import torch

from inference.errors import SettingsError
from inference.preparation import FloatMap


class Engine(Protocol):
    """Maps a prepared scan to tumour probabilities."""

    name: str

    def probabilities(self, prepared: FloatMap) -> FloatMap:
        """Return the probability of every pixel: (h, w) float32 in, (h, w) float32 in 0..1 out."""
        ...


class TorchEngine:
    """Eager float32 PyTorch, on a CPU or a CUDA card."""

    def __init__(self, network: torch.nn.Module, device: torch.device) -> None:
        self.name = f"torch-{device.type}"
        self.device = device
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def probabilities(self, prepared: FloatMap) -> FloatMap:
        """Return the probability of every pixel: (h, w) float32 in, (h, w) float32 in 0..1 out."""
        inputs = torch.from_numpy(prepared).to(self.device)[None, None]  # (1, 1, h, w)
        logits = self.network(inputs.contiguous(memory_format=torch.channels_last))  # (1, 1, h, w)
        return np.asarray(logits.sigmoid()[0, 0].cpu().numpy())  # (h, w)


def choose_device(device: str) -> torch.device:
    """Return the device that `DEVICE` names; "auto" is CUDA where there is a card."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise SettingsError("DEVICE=cuda, but PyTorch finds no CUDA card here: set DEVICE=auto or DEVICE=cpu")
    return torch.device(device)
