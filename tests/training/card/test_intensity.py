from dataclasses import replace

import numpy as np
import torch

from tests.training.card.conftest import UNCHANGED
from training.card.intensity import change_greys
from training.fitting.augmentation import build_augmentation
from training.fitting.changes import STRONG, USUAL
from training.phantoms.drawing import make_phantom

DRAWS = 300


def crop_of_a_phantom() -> np.ndarray:
    grey = make_phantom(5).grey
    return np.ascontiguousarray(grey[60:188:2, 120:248:2])


def test_without_changes_nothing_changes() -> None:
    uptake = torch.rand(4, 1, 32, 32)
    torch.testing.assert_close(change_greys(uptake, UNCHANGED, torch.Generator()), uptake)


def test_greys_are_spread_as_by_the_augmentation_in_use() -> None:
    grey = crop_of_a_phantom()
    batch = torch.from_numpy(1 - grey.astype(np.float32) / 255).expand(DRAWS, 1, -1, -1)
    for changes in (USUAL, STRONG):
        on_card = change_greys(batch, changes, torch.Generator().manual_seed(1))[:, 0].numpy()
        in_place = build_augmentation(grey.shape, changes=replace(changes, affine_p=0, elastic_p=0))
        in_place.set_random_seed(1)
        drawn = np.stack([in_place(image=grey, mask=grey)["image"] for _ in range(DRAWS)])
        in_use = 1 - drawn.astype(np.float32) / 255
        for measure in (_mean, _contrast, _roughness):
            one, other = measure(on_card), measure(in_use)
            tenths = np.quantile(one, [0.1, 0.5, 0.9]) - np.quantile(other, [0.1, 0.5, 0.9])
            assert np.abs(tenths).max() < 0.25 * other.std() + 0.005, (measure.__name__, tenths, other.std())
            assert 0.8 < one.std() / other.std() < 1.25, measure.__name__


def _mean(images: np.ndarray) -> np.ndarray:
    return np.asarray(images.mean((1, 2)))


def _contrast(images: np.ndarray) -> np.ndarray:
    return np.asarray(images.std((1, 2)))


def _roughness(images: np.ndarray) -> np.ndarray:
    return np.asarray(np.abs(np.diff(images, axis=2)).mean((1, 2)))
