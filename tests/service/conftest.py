import pytest

from inference.ensemble import Ensemble, load_ensemble
from tests.conftest import ROOT, plain_settings


@pytest.fixture(scope="session")
def loaded() -> Ensemble:
    return load_ensemble(plain_settings(models_dir=ROOT / "models"))


@pytest.fixture
def ensemble(loaded: Ensemble, monkeypatch: pytest.MonkeyPatch) -> Ensemble:
    """The shipped folds, for a test to hold or to break: afterwards they are whole again."""
    monkeypatch.setattr(loaded, "predict", loaded.predict)
    return loaded
