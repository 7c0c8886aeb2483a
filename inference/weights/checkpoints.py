"""PyTorch's side of the fold weights: from a file to the network, strictly, and back."""

import hashlib
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError

from inference.errors import WeightsError
from inference.unet import ARCHITECTURE, build_unet
from inference.weights.fold_file import METADATA_KEY, FoldFile, FoldMetadata

PREFIXES = ("module.", "model.", "network.")
AVERAGES_SEEN = "n_averaged"
"""A counter that PyTorch keeps beside averaged weights."""

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
        raise WeightsError(f"{fold} was converted for OpenVINO: set ENGINE=openvino to serve it")
    read = _read_safetensors if fold.path.suffix == ".safetensors" else _read_checkpoint
    return _build(fold, _without_prefixes(fold, read(fold)))


def _read_safetensors(fold: FoldFile) -> State:
    try:
        return safetensors.torch.load_file(fold.path)
    except SafetensorError as error:
        raise WeightsError(f"{fold} is no safetensors file, or is cut short ({error})") from None


def _read_checkpoint(fold: FoldFile) -> State:
    """Read a state dict, or what wraps one.

    Where Lightning averaged the weights, its checkpoint has the averages for its `state_dict`.
    """
    try:
        checkpoint = torch.load(fold.path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a different type for every kind of damage
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"{fold} is no checkpoint of tensors alone, which is all that is loaded ({reason})"
        ) from None
    while isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict"), dict):
        checkpoint = checkpoint["state_dict"]
    if not isinstance(checkpoint, dict) or not all(isinstance(v, torch.Tensor) for v in checkpoint.values()):
        raise WeightsError(f"{fold} holds no state dict of tensors")
    return checkpoint


def _without_prefixes(fold: FoldFile, state: State) -> State:
    """Return a state dict with the names that the tensors have in the network itself."""
    named = {_without_prefix(name): tensor for name, tensor in state.items() if name != AVERAGES_SEEN}
    if len(named) < len(state) - (AVERAGES_SEEN in state):
        raise WeightsError(f"{fold} holds the tensors of several networks: save one alone")
    return named


def _without_prefix(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name


def _build(fold: FoldFile, state: State) -> torch.nn.Module:
    network = build_unet()
    expected = network.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    misshapen = sorted(k for k in expected.keys() & state.keys() if expected[k].shape != state[k].shape)
    for fault, names in (("misses", missing), ("has unexpected", unexpected), ("has misshapen", misshapen)):
        if names:
            shown = ", ".join(names[:KEYS_SHOWN])
            raise WeightsError(
                f"{fold} is not the weights of a {ARCHITECTURE}: it {fault} {len(names)} tensors "
                f"({shown}, ...): name another file or artifact"
            )
    network.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    )
    return network.eval()


def _compact(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
