"""The notebook, run as its users run it: in a kernel of its own, on phantoms."""

import json
import shutil
from pathlib import Path
from typing import Any

import papermill
import pytest

from inference.weights.fold_file import read_fold
from tests.conftest import ROOT
from training.fitting.notebook import plan
from training.scans.folds import SPLIT_FILE

NOTEBOOK = ROOT / "notebooks" / "train_unet.ipynb"
FOLD = 2  # not the notebook's own


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def test_the_notebook_is_committed_without_outputs() -> None:
    for cell in code_cells(json.loads(NOTEBOOK.read_text())):
        assert (cell["outputs"], cell["execution_count"]) == ([], None)


def test_the_fold_is_the_notebooks_one_parameter() -> None:
    assert list(papermill.inspect_notebook(NOTEBOOK)) == ["FOLD"]


def test_the_notebook_trains_a_fold_of_phantoms_and_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a project that holds no data: it rehearses, and writes nowhere else."""
    for name in ("training", "inference", "utils.py"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "notebooks").mkdir()
    shutil.copy(NOTEBOOK, tmp_path / "notebooks")
    for name in ("TUMOR_DATA_DIR", "WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.setenv(name, "")  # which no `.env` replaces
    papermill.execute_notebook(
        tmp_path / "notebooks" / NOTEBOOK.name,
        tmp_path / "executed.ipynb",
        parameters={"FOLD": FOLD},
        cwd=tmp_path / "notebooks",
        progress_bar=False,
        execution_timeout=300,
    )
    run_dir = tmp_path / "results" / "notebook" / f"fold{FOLD}"
    assert read_fold(run_dir / "fold.safetensors").metadata.fold == FOLD
    executed = json.loads((tmp_path / "executed.ipynb").read_text())
    pictures = [
        output
        for cell in code_cells(executed)
        for output in cell["outputs"]
        if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3  # curves, two phantoms
    assert not (run_dir / "wandb").exists()


def test_the_notebook_trains_on_the_data_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUMOR_DATA_DIR", str(tmp_path))
    planned = plan(3)
    assert (planned.data_dir, planned.run_dir) == (tmp_path, Path("runs/fold3"))
    assert planned.config.model_fields_set == {"fold"}
    assert planned.split.fold_of == json.loads(SPLIT_FILE.read_text())["fold_of"]
