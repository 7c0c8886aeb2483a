"""`python -m training fit --folds --ray`: folds side by side, of which one cannot be trained."""

from pathlib import Path

import pytest

from inference.weights.fold_file import read_fold
from tests.conftest import run_script
from tests.ray.conftest import TwoNodes
from training.phantoms.drawing import write_phantoms
from training.scans.dataset import find_cases, read_cases
from training.scans.folds import split_scans, write_split

pytest.importorskip("ray")


def test_folds_are_trained_side_by_side_and_one_that_fails_stops_no_other(
    nodes: TwoNodes, tmp_path: Path
) -> None:
    write_phantoms(tmp_path / "data", patients=4, controls=2)
    write_split(split_scans(read_cases(find_cases(tmp_path / "data")), folds=2), tmp_path / "folds.json")
    places = ["--data", tmp_path / "data", "--split", tmp_path / "folds.json", "--run-dir", tmp_path / "runs"]
    tiny = ["--epochs", "1", "-s", "input_scale=0.2", "-s", "crop_size=64,64", "-s", "patients_per_batch=2"]
    arguments = ["-m", "training", "fit", "--folds", "0,1,7", "--ray", *places, *tiny]
    ended = run_script(*arguments, RAY_ADDRESS=nodes.address)
    assert ended.returncode == 1, ended.stderr
    assert "fold 7: there is no fold 7" in ended.stdout
    assert "1 of 3 folds failed" in ended.stdout
    for fold in (0, 1):
        weights = tmp_path / "runs" / f"fold{fold}" / "fold.safetensors"
        assert f"fold {fold}: trained weights: {weights}" in ended.stdout
        assert read_fold(weights).metadata.fold == fold
