"""What the tests of training on a card share: phantoms, and how they lie on the device."""

from pathlib import Path

import pytest
import torch

from training.card.config import CardConfig
from training.card.scans import CardScans, load_scans
from training.fitting.changes import Changes
from training.phantoms.drawing import write_phantoms
from training.scans.dataset import LabelledScan, find_cases, read_cases

TINY = CardConfig(
    folds=(0,),
    input_scale=0.2,
    crop_size=(96, 64),
    patients_per_batch=3,
    controls_per_batch=2,
    statistics_batches=2,
)
UNCHANGED = Changes(
    affine_p=0, elastic_p=0, brightness_contrast_p=0, gamma_p=0, blur_p=0, noise_p=0, salt_pepper_p=0
)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of seven phantoms with lesions and four without."""
    folder = tmp_path_factory.mktemp("card")
    write_phantoms(folder, patients=7, controls=4)
    return folder


@pytest.fixture(scope="session")
def scans(data: Path) -> list[LabelledScan]:
    """Return the phantoms of `data`."""
    return read_cases(find_cases(data))


@pytest.fixture(scope="session")
def on_card(scans: list[LabelledScan]) -> CardScans:
    """Return the phantoms as they lie on a device, here the CPU."""
    return load_scans(scans, torch.device("cpu"))
