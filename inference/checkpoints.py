"""PyTorch's side of the fold weights: from a file to the network, strictly, and back."""

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from inference.errors import WeightsError
from inference.unet import ARCHITECTURE, build_unet
from inference.weights import METADATA_KEY, FoldFile, FoldMetadata

LIGHTNING_KEY = "pytorch-lightning_version"
KEYS_SHOWN = 3

State = dict[str, torch.Tensor]


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
    if fold.is_converted:
        raise WeightsError(f"{fold.path} was converted for OpenVINO: set ENGINE=openvino to serve it")
    read = _read_safetensors if fold.path.suffix == ".safetensors" else _read_checkpoint
    return _build(fold.path, read(fold.path))


def _read_safetensors(path: Path) -> State:
    try:
        return safetensors.torch.load_file(path)
    except SafetensorError as error:
        raise WeightsError(f"{path} is no safetensors file, or is cut short ({error})") from None


def _read_checkpoint(path: Path) -> State:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a different type for every kind of damage
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"{path} is no checkpoint of tensors alone, which is all that is loaded ({reason})"
        ) from None
    if isinstance(checkpoint, dict) and LIGHTNING_KEY in checkpoint:
        raise WeightsError(
            f"{path} is a training checkpoint, which does not say how its scans are prepared: "
            "use the fold.safetensors that its run ends with"
        )
    while isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict"), dict):
        checkpoint = checkpoint["state_dict"]
    if not isinstance(checkpoint, dict) or not all(isinstance(v, torch.Tensor) for v in checkpoint.values()):
        raise WeightsError(f"{path} holds no state dict of tensors")
    return {_without_prefix(name): tensor for name, tensor in checkpoint.items()}


def _without_prefix(name: str) -> str:
    for prefix in ("module.", "model."):
        name = name.removeprefix(prefix)
    return name


def _build(path: Path, state: State) -> torch.nn.Module:
    network = build_unet()
    expected = network.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    misshapen = sorted(k for k in expected.keys() & state.keys() if expected[k].shape != state[k].shape)
    for fault, names in (("misses", missing), ("has unexpected", unexpected), ("has misshapen", misshapen)):
        if names:
            shown = ", ".join(names[:KEYS_SHOWN])
            raise WeightsError(
                f"{path} is not the weights of a {ARCHITECTURE}: it {fault} {len(names)} tensors "
                f"({shown}, ...): name another file or artifact"
            )
    network.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    )
    return network.eval()


def _compact(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
