"""What a file of PyTorch's holds, read without PyTorch and without running anything."""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

PICKLE = "data.pkl"
STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
}
"""PyTorch's kinds of numbers, by the names that safetensors gives them."""

DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U8": "u1",
    "BOOL": "?",
}
"""How NumPy reads each; a bfloat16 is the upper half of a float32, of which NumPy has only the bits."""


@dataclass(frozen=True)
class StoredTensor:
    """Where a tensor lies in a file of `torch.save`: in which of its storages, and how in there."""

    storage: str
    kind: str
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def decode_numbers(data: bytes, kind: str) -> npt.NDArray[Any]:
    """Return the numbers (n,) that bytes hold, of a kind that safetensors names; bfloat16 as float32.

    Raises `KeyError` for a kind that no fold has.
    """
    numbers = np.frombuffer(data, DTYPES[kind])
    return (numbers.astype(np.uint32) << 16).view(np.float32) if kind == "BF16" else numbers


def read_plain_entries(path: Path) -> dict[str, Any]:
    """Return the strings and numbers of the dictionary that `torch.save` wrote to a file, by their keys.

    Empty where the file holds something else: what its tensors are worth is seen when they are loaded.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            content = _read_content(archive)
    except Exception:  # a pickle can be damaged in as many ways as it has instructions
        return {}
    if not isinstance(content, dict):
        return {}
    return {key: value for key, value in content.items() if isinstance(value, str | int | float)}


def read_state(path: Path) -> dict[str, npt.NDArray[Any]] | None:
    """Return the tensors of a state dict, or of what wraps one, by their names; None where there is none.

    Where Lightning averaged the weights, its checkpoint has the averages for its `state_dict`.
    Raises whatever a damaged file makes `zipfile` and `pickle` raise.
    """
    with zipfile.ZipFile(path) as archive:
        content = _read_content(archive)
        while isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
            content = content["state_dict"]
        if not isinstance(content, dict) or not all(isinstance(v, StoredTensor) for v in content.values()):
            return None
        return dict(_read_tensors(archive, content))


def _read_content(archive: zipfile.ZipFile) -> Any:
    (member,) = [name for name in archive.namelist() if name.split("/")[1:] == [PICKLE]]
    with archive.open(member) as file:
        return _TensorUnpickler(file).load()


def _read_tensors(
    archive: zipfile.ZipFile, state: dict[str, StoredTensor]
) -> Iterator[tuple[str, npt.NDArray[Any]]]:
    root = archive.namelist()[0].partition("/")[0]
    for name, tensor in state.items():
        numbers = decode_numbers(archive.read(f"{root}/data/{tensor.storage}"), tensor.kind)
        if 0 in tensor.shape:
            yield name, np.zeros(tensor.shape, numbers.dtype)
            continue
        last = tensor.start + sum(
            (n - 1) * step for n, step in zip(tensor.shape, tensor.strides, strict=True)
        )
        if min(tensor.start, *tensor.shape, *tensor.strides, 0) < 0 or last >= numbers.size:
            raise ValueError(f"{name} lies outside of what is stored")
        steps = tuple(step * numbers.itemsize for step in tensor.strides)
        yield name, np.lib.stride_tricks.as_strided(numbers[tensor.start :], tensor.shape, steps).copy()


class _Anything:
    """Stands for any object that is not plain data: it takes what a pickle does to it, and keeps nothing."""

    def __new__(cls, *_: Any, **__: Any) -> "_Anything":
        return super().__new__(cls)

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __call__(self, *_: Any, **__: Any) -> "_Anything":
        return self

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, *_: Any) -> None: ...

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...

    def add(self, _: Any) -> None: ...


class _TensorUnpickler(pickle.Unpickler):
    """Reads plain data and where tensors lie; whatever else is to be imported and called is `_Anything`."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        if module == "torch._utils":
            return {"_rebuild_tensor_v2": _tensor, "_rebuild_parameter": _parameter}.get(name, _Anything)
        return _Anything

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        """Return the name of a storage and what it holds: ("storage", kind, name, device, length)."""
        return str(pid[2]), str(pid[1])


def _tensor(
    storage: tuple[str, str], start: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
) -> StoredTensor:
    return StoredTensor(*storage, start, tuple(shape), tuple(strides))


def _parameter(tensor: StoredTensor, *_: Any) -> StoredTensor:
    return tensor
