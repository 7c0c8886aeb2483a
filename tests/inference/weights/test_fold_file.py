import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from inference.errors import WeightsError
from inference.preparation import ORIGINAL_PREPARATION, Preparation
from inference.weights.fold_file import METADATA_KEY, FoldMetadata, read_fold
from tests.conftest import ROOT

METADATA = FoldMetadata(fold=1, preparation=Preparation(input_scale=0.5), threshold=0.4, training={"seed": 3})


def write(path: Path, **header: str) -> str:
    """Write a file of one tensor, with a header, and return its SHA-256."""
    content = safetensors.numpy.save({"weight": np.zeros(3, np.float32)}, header)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def test_a_fold_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "fold1.safetensors"
    sha256 = write(path, **{METADATA_KEY: METADATA.model_dump_json()})
    fold = read_fold(path, expected_sha256=sha256)
    assert (fold.name, fold.sha256, fold.metadata) == ("fold1", sha256, METADATA)


def test_folds_are_told_apart_without_pytorch() -> None:
    code = (
        "import sys; from pathlib import Path; from inference.weights.fold_file import read_fold;"
        "print(read_fold(Path('models/fold0.safetensors')).metadata.fold, 'torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["0", "False"]


def test_a_checkpoint_without_metadata_is_one_of_the_originals(tmp_path: Path) -> None:
    path = tmp_path / "best_model_fold0.pth"
    path.write_bytes(b"tensors")
    fold = read_fold(path)
    assert fold.sha256 == hashlib.sha256(b"tensors").hexdigest()
    assert fold.metadata.fold is None
    assert fold.metadata.preparation == ORIGINAL_PREPARATION


def test_another_files_hash_is_refused(tmp_path: Path) -> None:
    sha256 = write(tmp_path / "a.safetensors", **{METADATA_KEY: METADATA.model_dump_json()})
    write(tmp_path / "b.safetensors", **{METADATA_KEY: METADATA.model_dump_json(), "note": "another"})
    with pytest.raises(WeightsError, match="is not the file that"):
        read_fold(tmp_path / "b.safetensors", expected_sha256=sha256)


def test_safetensors_without_metadata_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "fold.safetensors")
    with pytest.raises(WeightsError, match="does not say how its scans are prepared"):
        read_fold(tmp_path / "fold.safetensors")


def test_metadata_of_another_version_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "fold.safetensors", **{METADATA_KEY: '{"fold": 1, "preparation": {"scale": 2}}'})
    with pytest.raises(WeightsError, match="has metadata that this version cannot read: preparation"):
        read_fold(tmp_path / "fold.safetensors")


def test_another_architecture_is_refused(tmp_path: Path) -> None:
    other = METADATA.model_copy(update={"architecture": "resnet"})
    write(tmp_path / "fold.safetensors", **{METADATA_KEY: other.model_dump_json()})
    with pytest.raises(WeightsError, match="holds a resnet, but this service runs a unet"):
        read_fold(tmp_path / "fold.safetensors")
