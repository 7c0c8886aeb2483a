import hashlib
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from inference.artifact_names import parse_artifact_name
from inference.cli.app import main
from inference.cli.fold_listing import folds_table, list_folds
from inference.preparation import Preparation
from inference.weights.artifact_cache import Artifact, ArtifactCache, ArtifactFile
from inference.weights.ensemble_file import EnsembleFile, FoldEntry, read_ensemble_file, write_ensemble_file
from inference.weights.fold_file import METADATA_KEY, FoldMetadata
from tests.conftest import ROOT, plain_settings
from tests.stand_ins.wandb_store import md5_base64


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one fold that is listed as it is, and holds one tensor too few to be a network."""
    metadata = FoldMetadata(fold=2, preparation=Preparation(input_scale=0.5))
    header = {METADATA_KEY: metadata.model_dump_json()}
    content = safetensors.numpy.save({"weight": np.zeros(3, np.float32)}, header)
    (tmp_path / "fold2.safetensors").write_bytes(content)
    entry = FoldEntry(fold=2, file="fold2.safetensors", sha256=hashlib.sha256(content).hexdigest())
    write_ensemble_file(EnsembleFile(folds=(entry,)), tmp_path)
    monkeypatch.setenv("MODELS_DIR", str(tmp_path))
    return tmp_path


def weights(*options: str) -> int:
    return main(["weights", *options])


def test_the_shipped_folds_are_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODELS_DIR", str(ROOT / "models"))
    monkeypatch.setenv("COLUMNS", "200")
    assert weights() == 0
    shown = capsys.readouterr().out
    for entry in read_ensemble_file(ROOT / "models").folds:
        (line,) = [line for line in shown.splitlines() if entry.file in line]
        assert entry.sha256[:8] in line
        assert f"{entry.out_of_fold_dice:.3f} ({entry.out_of_fold_patients})" in line
        assert "uptake" in line


def test_verify_looks_at_the_tensors(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert weights() == 0
    assert "scale 0.5, uptake" in capsys.readouterr().out
    assert weights("--verify") == 1
    shown = capsys.readouterr()
    assert "cannot be served" in shown.out
    assert "is not the weights of a unet" in shown.err


def test_a_file_that_is_not_as_listed_is_shown_and_told(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with (models / "fold2.safetensors").open("ab") as file:
        file.write(b"\0")
    assert weights() == 1
    shown = capsys.readouterr()
    assert "cannot be served" in shown.out
    assert "is not the file that ensemble.json lists" in shown.err


def test_artifacts_are_shown_by_their_names(tmp_path: Path) -> None:
    content = b"a state dict"
    name = parse_artifact_name("team/project/best_model_fold0:v471")
    file = ArtifactFile(name="best_model.pth", size=len(content), digest=md5_base64(content))
    artifact = Artifact(name=str(name), digest="0" * 32, files=(file,), out_of_fold_dice=0.5)
    cache = ArtifactCache(tmp_path)
    with cache.scratch(60) as scratch:
        (scratch / file.name).write_bytes(content)
        cache.keep(artifact, scratch)
    cache.note(name, artifact)
    (row,) = list_folds(plain_settings(model_artifacts=(str(name),), model_cache_dir=tmp_path))
    assert (row.origin, row.entry.out_of_fold_dice, row.fault) == (str(name), 0.5, None)
    columns = {str(column.header): list(column.cells) for column in folds_table([row]).columns}
    assert columns["preparation"] == ["1536 x 786, minmax"]
    assert columns["fold"] == ["?"]
    assert columns["Dice (n)"] == ["0.500"]
