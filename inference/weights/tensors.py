"""The tensors of a fold's file, as NumPy arrays by the names that they have in the network."""

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
from safetensors import SafetensorError, deserialize

from inference.errors import WeightsError
from inference.unet import ARCHITECTURE
from inference.weights.fold_file import SAFETENSORS_SUFFIX, FoldFile
from inference.weights.torch_files import decode_numbers, read_state

PREFIXES = ("module.", "model.", "network.")
AVERAGES_SEEN = "n_averaged"
"""A counter that PyTorch keeps beside averaged weights."""

KEYS_SHOWN = 3

Tensors = dict[str, npt.NDArray[Any]]


def read_tensors(fold: FoldFile) -> Tensors:
    """Return a fold's tensors as they are stored; PyTorch's files need no PyTorch.

    Raises `WeightsError` where the file is damaged, or holds no tensors or those of several networks.
    """
    read = _read_safetensors if fold.path.suffix == SAFETENSORS_SUFFIX else _read_checkpoint
    tensors = {name: tensor for name, tensor in read(fold).items() if name != AVERAGES_SEEN}
    named = {_without_prefix(name): tensor for name, tensor in tensors.items()}
    if len(named) < len(tensors):
        raise WeightsError(f"{fold} holds the tensors of several networks: save one alone")
    return named


def check_tensors(fold: FoldFile, tensors: Tensors, expected: Mapping[str, tuple[int, ...]]) -> None:
    """Raise `WeightsError` where a fold holds anything but the tensors, of these shapes, of the network."""
    missing = sorted(expected.keys() - tensors.keys())
    unexpected = sorted(tensors.keys() - expected.keys())
    misshapen = sorted(k for k in expected.keys() & tensors.keys() if expected[k] != tensors[k].shape)
    for fault, names in (("misses", missing), ("has unexpected", unexpected), ("has misshapen", misshapen)):
        if names:
            shown = ", ".join(names[:KEYS_SHOWN])
            raise WeightsError(
                f"{fold} is not the weights of a {ARCHITECTURE}: it {fault} {len(names)} tensors "
                f"({shown}, ...): name another file or artifact"
            )


def _read_safetensors(fold: FoldFile) -> Tensors:
    try:
        stored = deserialize(fold.path.read_bytes())  # type: ignore[no-untyped-call]
        return {name: decode_numbers(of["data"], of["dtype"]).reshape(of["shape"]) for name, of in stored}
    except SafetensorError as error:
        raise WeightsError(f"{fold} is no safetensors file, or is cut short ({error})") from None
    except KeyError as error:
        raise WeightsError(f"{fold} has tensors of {error}, which no fold has: export it again") from None


def _read_checkpoint(fold: FoldFile) -> Tensors:
    try:
        state = read_state(fold.path)
    except Exception as error:  # a pickle can be damaged in as many ways as it has instructions
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"{fold} is no checkpoint of tensors alone, which is all that is loaded ({reason}): save its "
            "state dict with `torch.save`"
        ) from None
    if state is None:
        raise WeightsError(f"{fold} holds no state dict of tensors")
    return state


def _without_prefix(name: str) -> str:
    while name.startswith(PREFIXES):
        name = name.partition(".")[2]
    return name
