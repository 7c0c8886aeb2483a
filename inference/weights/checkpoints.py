"""PyTorch's side of the fold weights: from a file to the network, strictly, and back."""

import hashlib
from pathlib import Path

import safetensors.torch
import torch

from inference.unet import build_unet
from inference.weights.fold_file import METADATA_KEY, FoldFile, FoldMetadata
from inference.weights.tensors import check_tensors, read_tensors


def save_fold(network: torch.nn.Module, metadata: FoldMetadata, path: Path) -> str:
    """Write a network as safetensors and return the file's SHA-256.

    Matrices and kernels are stored as float16; vectors (batch statistics among them, which can
    exceed its range) keep float32.
    """
    state = {name: _compact(tensor) for name, tensor in network.state_dict().items()}
    content = safetensors.torch.save(state, metadata={METADATA_KEY: metadata.model_dump_json()})
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
    return hashlib.sha256(content).hexdigest()


def load_network(fold: FoldFile) -> torch.nn.Module:
    """Load a fold's network, float32 and in eval mode.

    Raises `WeightsError` where the file holds anything but the tensors of this architecture.
    """
    network, tensors = build_unet(), read_tensors(fold)
    check_tensors(fold, tensors, {name: tuple(of.shape) for name, of in network.state_dict().items()})
    network.load_state_dict({name: torch.tensor(tensor) for name, tensor in tensors.items()})
    return network.eval()


def _compact(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
