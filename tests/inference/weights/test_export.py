from pathlib import Path

import pytest
import torch

from inference.errors import SettingsError
from inference.preparation import ORIGINAL_PREPARATION
from inference.weights.activation_ranges import read_ranges
from inference.weights.checkpoints import load_network
from inference.weights.ensemble_file import (
    EnsembleFile,
    FoldEntry,
    read_ensemble_file,
    read_folds,
    read_listed_folds,
    write_ensemble_file,
)
from inference.weights.export import export_folds
from inference.weights.fold_file import read_fold
from inference.weights.tensors import read_tensors
from tests.conftest import ROOT, plain_settings

MODELS = ROOT / "models"


def test_shipped_folds_are_exported_byte_for_byte(tmp_path: Path) -> None:
    export_folds(plain_settings(models_dir=MODELS), tmp_path / "out")
    assert read_ensemble_file(tmp_path / "out") == read_ensemble_file(MODELS)
    for fold in read_folds(plain_settings(models_dir=tmp_path / "out"))[0]:
        assert read_ranges(fold) is not None


def test_a_file_of_pytorch_becomes_one_that_says_how_its_scans_are_prepared(tmp_path: Path) -> None:
    source = read_listed_folds(MODELS, read_ensemble_file(MODELS))[0]
    torch.save(load_network(source).state_dict(), tmp_path / "best.pth")
    original = read_fold(tmp_path / "best.pth")
    entry = FoldEntry(fold=None, file="best.pth", sha256=original.sha256)
    write_ensemble_file(EnsembleFile(folds=(entry,), threshold=0.4), tmp_path)
    listed = export_folds(plain_settings(models_dir=tmp_path), tmp_path / "out")
    (fold,) = read_listed_folds(tmp_path / "out", listed)
    assert (fold.path.name, fold.metadata.preparation) == ("best.safetensors", ORIGINAL_PREPARATION)
    assert listed.threshold == 0.4
    tensors = read_tensors(original)
    for name, tensor in read_tensors(fold).items():
        assert (tensor == tensors[name]).all(), name


def test_the_folder_that_folds_come_from_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is the folder that the folds come from"):
        export_folds(plain_settings(models_dir=tmp_path), tmp_path / "." / "")
