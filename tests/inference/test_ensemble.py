import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from inference.ensemble import Ensemble, load_ensemble
from inference.settings import Settings
from inference.tta import FLIPS
from inference.unet import build_unet
from tests.conftest import ROOT, plain_settings
from training.phantoms import Phantom
from utils import validate_segmentation

MODELS = ROOT / "models"
AGREEMENT = 0.001


def settings(**changes: object) -> Settings:
    return plain_settings(models_dir=MODELS, **changes)


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return load_ensemble(settings())


def plain_mask(grey: np.ndarray, ops: list[str], threshold: float) -> np.ndarray:
    """The pipeline as its description reads, with nothing of it called: (H, W) uint8 in, bool out."""
    height, width = grey.shape
    total = np.zeros(grey.shape)
    folds = json.loads((MODELS / "ensemble.json").read_text())["folds"]
    for entry in folds:
        with safe_open(MODELS / entry["file"], framework="pt") as file:
            scale = json.loads(file.metadata()["tumor_segmentation"])["preparation"]["input_scale"]
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network = build_unet()
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
        h, w = round(height * scale), round(width * scale)
        small = cv2.resize(grey.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
        inputs = torch.zeros(1, 1, -(-h // 32) * 32, -(-w // 32) * 32)
        inputs[0, 0, :h, :w] = torch.from_numpy(1 - small / 255)
        views = []
        for op in ops:
            dims = {"identity": [], "hflip": [3], "vflip": [2], "hvflip": [2, 3]}[op]
            with torch.no_grad():
                views.append(network.eval()(inputs.flip(dims)).sigmoid().flip(dims))
        average = torch.stack(views).mean(0)[0, 0, :h, :w].numpy()
        total += cv2.resize(average, (width, height), interpolation=cv2.INTER_LINEAR)
    return total / len(folds) >= threshold


@pytest.mark.parametrize("ops", [None, tuple(FLIPS)], ids=["shipped views", "all four flips"])
def test_masks_equal_a_plain_reading_of_the_pipeline(
    phantoms: list[Phantom], ops: tuple[str, ...] | None
) -> None:
    ensemble = load_ensemble(settings(tta_ops=ops))
    marked = 0
    for phantom in phantoms:
        expected = plain_mask(phantom.grey, list(ensemble.tta_ops), ensemble.threshold)
        mask = ensemble.predict(phantom.grey).mask[..., 0] > 0
        assert (mask != expected).mean() <= AGREEMENT
        marked += int(expected.sum())
    assert marked


def test_grey_and_rgb_scans_give_the_same_mask(ensemble: Ensemble, phantom: Phantom) -> None:
    rgb = np.repeat(phantom.grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(ensemble.predict(rgb).mask, ensemble.predict(phantom.grey).mask)


def test_a_prediction_is_valid_and_repeatable(ensemble: Ensemble, phantom: Phantom) -> None:
    first, second = ensemble.predict(phantom.grey), ensemble.predict(phantom.grey)
    validate_segmentation(phantom.grey, first.mask)
    np.testing.assert_array_equal(first.probability_map, second.probability_map)
    assert first.probability_map.shape == phantom.grey.shape
    assert (first.mask[..., 0] > 0).sum() == first.tumor_area_px
    assert 0 <= first.tumor_probability <= 1


def test_the_ensemble_is_the_mean_of_its_folds(ensemble: Ensemble, phantom: Phantom) -> None:
    alone = [
        Ensemble([fold], tta_ops=ensemble.tta_ops, threshold=0.5).probability_map(phantom.grey)
        for fold in ensemble.folds
    ]
    np.testing.assert_allclose(np.mean(alone, axis=0), ensemble.probability_map(phantom.grey), atol=1e-5)


def test_the_threshold_is_a_setting(phantom: Phantom) -> None:
    areas = [
        load_ensemble(settings(pred_threshold=t, tta=False)).predict(phantom.grey).tumor_area_px
        for t in (0.05, 0.5, 0.95)
    ]
    assert areas == sorted(areas, reverse=True)
    assert areas[0] > areas[2]


def test_tta_false_leaves_one_view() -> None:
    assert load_ensemble(settings(tta=False)).tta_ops == ("identity",)


def test_every_shipped_fold_names_its_training(ensemble: Ensemble) -> None:
    listed = json.loads((MODELS / "ensemble.json").read_text())
    assert [entry["fold"] for entry in listed["folds"]] == [0, 2, 3]
    for fold, entry in zip(ensemble.folds, listed["folds"], strict=True):
        assert fold.metadata.fold == entry["fold"]
        assert fold.metadata.threshold == listed["threshold"]
        assert fold.metadata.training["config"]["fold"] == entry["fold"]
        assert 0 < entry["out_of_fold_dice"] < 1
        assert Path(MODELS / entry["file"]).stat().st_size < 45_000_000
