from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from inference.preparation import ORIGINAL_PREPARATION
from inference.weights.checkpoints import load_network
from inference.weights.fold_file import read_fold
from training.config import FitConfig
from training.fitting.fit import fit
from training.fitting.loading import TrainingScans, resize_scan
from training.fitting.recipes import ORIGINAL, RECIPES
from training.phantoms.drawing import make_phantom, write_phantoms
from training.scans.dataset import LabelledScan, find_cases, read_cases
from training.scans.folds import split_scans

SMALL = {"input_size": (96, 64), "crop_size": (96, 64)}
PHANTOM = make_phantom(3, lesions=5, size=(426, 400))
SCAN = LabelledScan(None, PHANTOM.grey, PHANTOM.label)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_phantoms(folder, patients=4, controls=2)
    return folder


def original(**changes: object) -> FitConfig:
    return FitConfig.model_validate({"fold": 0} | ORIGINAL | changes)


def test_every_recipe_is_a_whole_configuration() -> None:
    for recipe in RECIPES.values():
        FitConfig.model_validate({"fold": 0} | recipe)
    assert original().preparation == ORIGINAL_PREPARATION
    with pytest.raises(ValidationError, match="either input_scale or input_size"):
        original(input_scale=0.5)


def test_the_original_sees_in_training_what_it_sees_in_serving() -> None:
    dataset = TrainingScans([], original(augmentation=False, **SMALL))
    dataset.patients = [resize_scan(SCAN, dataset.preparation, grown_label=True)]
    inputs, label = dataset[0, 0]
    np.testing.assert_allclose(inputs[0], dataset.preparation.prepare(SCAN.grey), atol=0.01)
    assert set(np.unique(label)) == {0, 1}


def test_the_originals_labels_are_larger_than_what_was_drawn() -> None:
    area = PHANTOM.label.mean()
    grown = resize_scan(SCAN, ORIGINAL_PREPARATION, grown_label=True).soft_label
    shared = resize_scan(SCAN, ORIGINAL_PREPARATION).soft_label
    assert (grown > 0).mean() > 1.1 * area
    assert shared.mean() / 255 == pytest.approx(area, rel=0.02)


def test_the_original_trains_on_patients_alone(data: Path, tmp_path: Path) -> None:
    split = split_scans(read_cases(find_cases(data)), folds=2)
    config = original(epochs=1, **SMALL)
    fold = read_fold(fit(config, data_dir=data, split=split, run_dir=tmp_path))
    assert fold.metadata.preparation == config.preparation
    assert fold.metadata.training["steps"] == 1  # two patients in a batch of two


def test_equal_seeds_train_equal_weights(data: Path, tmp_path: Path) -> None:
    split = split_scans(read_cases(find_cases(data)), folds=2)
    tiny = {"fold": 0, "epochs": 2, "crop_size": (64, 64), "input_scale": 0.2, "patients_per_batch": 1}
    config = FitConfig.model_validate(tiny)
    runs = [fit(config, data_dir=data, split=split, run_dir=tmp_path / name) for name in ("one", "two")]
    first, again = (load_network(read_fold(weights)).state_dict() for weights in runs)
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
