"""An ensemble that costs nothing, for tests of what is around it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.ensemble import Ensemble
from inference.preparation import FloatMap, Preparation
from inference.weights.fold_file import FoldFile, FoldMetadata
from training.phantoms.drawing import make_phantom

FOLD = FoldFile(
    Path("none.safetensors"), "0" * 64, FoldMetadata(fold=0, preparation=Preparation(input_scale=1))
)


class DarkEngine:
    """Takes for tumour what is dark, and lets a test look at every pass."""

    name = "dark"
    parallel_passes = 1
    views_per_pass = 1

    def run(self, fold: int, views: FloatMap) -> FloatMap:
        self.on_pass(views)
        return np.where(views > 0.8, np.float32(0.9), np.float32(0.1))

    def on_pass(self, views: FloatMap) -> None:
        """To be replaced."""


@pytest.fixture
def engine() -> DarkEngine:
    return DarkEngine()


@pytest.fixture
def ensemble(engine: DarkEngine, monkeypatch: pytest.MonkeyPatch) -> Ensemble:
    """The ensemble that `segment` and `pacs segment` find loaded."""
    loaded = Ensemble([FOLD], engine, tta_ops=("identity",), threshold=0.5)
    for command in ("pacs", "segment"):
        monkeypatch.setattr(f"inference.cli.{command}.load_ensemble", lambda _: loaded)
    return loaded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with six scans."""
    scans = tmp_path / "scans"
    scans.mkdir()
    for number in range(6):
        Image.fromarray(make_phantom(number, size=(120, 96)).grey).save(scans / f"scan_{number}.png")
    return scans
