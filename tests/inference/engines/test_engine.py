"""Which engine takes the folds, and what is said where a library for it is missing."""

import sys
from collections.abc import Iterator

import pytest
from loguru import logger

from inference.engines import engine
from inference.engines.engine import open_engine
from inference.errors import SettingsError
from inference.weights.ensemble_file import read_ensemble_file, read_listed_folds
from inference.weights.fold_file import FoldFile
from tests.conftest import ROOT, plain_settings


@pytest.fixture(scope="module")
def fold() -> FoldFile:
    models = ROOT / "models"
    return read_listed_folds(models, read_ensemble_file(models))[0]


@pytest.fixture
def said() -> Iterator[list[str]]:
    lines: list[str] = []
    number = logger.add(lines.append, format="{message}")
    yield lines
    logger.remove(number)


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


def test_a_card_without_pytorch_is_told_of_and_the_cpu_serves(
    fold: FoldFile, said: list[str], without_torch: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "has_cuda_card", lambda: True)
    assert open_engine([fold], plain_settings()).name.startswith("openvino-")
    (line,) = said
    assert "there is a CUDA card, but no PyTorch" in line
    assert "`uv run --group torch api.py`" in line


@pytest.mark.parametrize(("setting", "value"), [("engine", "torch"), ("device", "cuda")])
def test_pytorch_that_is_asked_for_and_missing_names_the_command(
    fold: FoldFile, without_torch: None, setting: str, value: str
) -> None:
    asked = f"{setting.upper()}={value} needs PyTorch, .* `uv run --group torch api.py`"
    with pytest.raises(SettingsError, match=asked):
        open_engine([fold], plain_settings(**{setting: value}))


def test_openvino_that_is_missing_is_the_reason(fold: FoldFile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(SettingsError, match=r"OpenVINO cannot be imported .*: install it with `uv sync"):
        open_engine([fold], plain_settings(device="cpu"))
