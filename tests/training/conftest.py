"""What the tests of training share: two folds of phantoms, trained for one epoch."""

from pathlib import Path

import pytest

from training.config import FitConfig
from training.fitting.fit import fit
from training.phantoms.drawing import write_phantoms
from training.publishing.export import export_runs
from training.scans.dataset import find_cases, read_cases
from training.scans.folds import split_scans, write_split


@pytest.fixture(scope="session")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds of phantoms, each trained for one epoch, exported."""
    folder = tmp_path_factory.mktemp("chain")
    write_phantoms(folder / "data", patients=6, controls=4)
    split = split_scans(read_cases(find_cases(folder / "data")), folds=2)
    write_split(split, folder / "folds.json")
    for fold in (0, 1):
        config = FitConfig(fold=fold, epochs=1, input_scale=0.2, crop_size=(64, 64), patients_per_batch=2)
        fit(config, data_dir=folder / "data", split=split, run_dir=folder / f"fold{fold}")
    export_runs([folder / "fold1", folder / "fold0"], folder / "models")
    return folder
