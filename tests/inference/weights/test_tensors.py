"""Tensors read without PyTorch, held against what PyTorch reads."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from inference.errors import WeightsError
from inference.preparation import Preparation
from inference.weights.fold_file import METADATA_KEY, FoldFile, FoldMetadata
from inference.weights.tensors import read_tensors

METADATA = FoldMetadata(fold=None, preparation=Preparation(input_scale=0.5))
STATE = {
    "float": torch.rand(3, 4, 5),
    "half": torch.rand(7).half(),
    "double": torch.rand(2).double(),
    "bfloat": torch.randn(6, 2).bfloat16(),
    "count": torch.tensor(12),
    "flags": torch.tensor([True, False]),
    "empty": torch.zeros(0, 3),
    "turned": torch.arange(12.0).reshape(3, 4).T,
    "part": torch.arange(20)[5:15:2],
    "repeated": torch.tensor([3.0]).expand(4),
    "parameter": torch.nn.Parameter(torch.rand(2, 2)),
}


def fold_of(path: Path) -> FoldFile:
    return FoldFile(path, "0" * 64, METADATA)


def assert_same(read: dict[str, np.ndarray], state: dict[str, torch.Tensor]) -> None:
    assert read.keys() == state.keys()
    for name, tensor in state.items():
        plain = tensor.detach().float() if tensor.dtype == torch.bfloat16 else tensor.detach()
        assert read[name].dtype == plain.numpy().dtype, name
        np.testing.assert_array_equal(read[name], plain.numpy(), strict=True)


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_file_of_pytorch_is_read_as_pytorch_reads_it(tmp_path: Path, wrapped: bool) -> None:
    shared = STATE | {"again": STATE["float"]}
    torch.save({"state_dict": shared, "epoch": 3} if wrapped else shared, tmp_path / "fold.pth")
    assert_same(read_tensors(fold_of(tmp_path / "fold.pth")), shared)


def test_safetensors_are_read_as_pytorch_reads_them(tmp_path: Path) -> None:
    state = {name: tensor.detach().contiguous() for name, tensor in STATE.items()}
    safetensors.torch.save_file(state, tmp_path / "fold.safetensors", {METADATA_KEY: "{}"})
    assert_same(read_tensors(fold_of(tmp_path / "fold.safetensors")), state)


def test_a_tensor_that_reaches_beyond_what_is_stored_is_refused(tmp_path: Path) -> None:
    path, cut = tmp_path / "fold.pth", tmp_path / "cut.pth"
    torch.save({"weight": torch.rand(8)}, path)
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(cut, "w") as short:
        for name in whole.namelist():
            content = whole.read(name)
            short.writestr(name, content[:16] if name.endswith("data/0") else content)
    with pytest.raises(WeightsError, match="weight lies outside of what is stored"):
        read_tensors(fold_of(cut))


def test_numbers_that_no_fold_has_are_named(tmp_path: Path) -> None:
    safetensors.torch.save_file({"a": torch.zeros(2).to(torch.float8_e4m3fn)}, tmp_path / "fold.safetensors")
    with pytest.raises(WeightsError, match="has tensors of 'F8_E4M3'"):
        read_tensors(fold_of(tmp_path / "fold.safetensors"))
