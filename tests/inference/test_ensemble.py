import json
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open

from inference.ensemble import Ensemble, build_ensemble, load_ensemble
from inference.settings import Settings
from inference.tta import FLIPS
from inference.unet import build_unet
from tests.conftest import ROOT, plain_settings
from training.phantoms.drawing import Phantom, make_phantom
from utils import dice_score, validate_segmentation

MODELS = ROOT / "models"
AGREEMENT = 0.001
SHIPPED_AGREEMENT = 0.95


def settings(**changes: object) -> Settings:
    return plain_settings(models_dir=MODELS, **changes)


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return load_ensemble(settings())


@dataclass(frozen=True)
class PlainFold:
    """A fold read with nothing of the pipeline: its network, and its scale."""

    network: torch.nn.Module
    scale: float
    seen: dict[tuple[bytes, str], torch.Tensor] = field(default_factory=dict)

    def probabilities(self, inputs: torch.Tensor, op: str) -> torch.Tensor:
        """What the network makes of a flip, flipped back; made once for all tests."""
        dims = {"identity": [], "hflip": [3], "vflip": [2], "hvflip": [2, 3]}[op]
        key = (inputs.numpy().tobytes(), op)
        if key not in self.seen:
            with torch.no_grad():
                self.seen[key] = self.network(inputs.flip(dims)).sigmoid().flip(dims)
        return self.seen[key]


@pytest.fixture(scope="module")
def plain_folds() -> list[PlainFold]:
    folds = []
    for entry in json.loads((MODELS / "ensemble.json").read_text())["folds"]:
        with safe_open(MODELS / entry["file"], framework="pt") as file:
            scale = json.loads(file.metadata()["tumor_segmentation"])["preparation"]["input_scale"]
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network = build_unet()
        network.load_state_dict({k: v.float() if v.is_floating_point() else v for k, v in state.items()})
        folds.append(PlainFold(network.eval(), scale))
    return folds


def plain_mask(folds: list[PlainFold], grey: np.ndarray, ops: list[str], threshold: float) -> np.ndarray:
    """The pipeline as its description reads, with nothing of it called: (H, W) uint8 in, bool out."""
    height, width = grey.shape
    total = np.zeros(grey.shape)
    for fold in folds:
        h, w = round(height * fold.scale), round(width * fold.scale)
        small = cv2.resize(grey.astype(np.float32), (w, h), interpolation=cv2.INTER_AREA)
        inputs = torch.zeros(1, 1, -(-h // 32) * 32, -(-w // 32) * 32)
        inputs[0, 0, :h, :w] = torch.from_numpy(1 - small / 255)
        views = [fold.probabilities(inputs, op) for op in ops]
        average = torch.stack(views).mean(0)[0, 0, :h, :w].numpy()
        total += cv2.resize(average, (width, height), interpolation=cv2.INTER_LINEAR)
    return total / len(folds) >= threshold


@pytest.mark.parametrize(
    ("ops", "shapes"), [(None, 5), (tuple(FLIPS), 2)], ids=["shipped views", "all four flips"]
)
def test_masks_equal_a_plain_reading_of_the_pipeline(
    phantoms: list[Phantom], plain_folds: list[PlainFold], ops: tuple[str, ...] | None, shapes: int
) -> None:
    """In float32 to 0.1 % of the pixels; in the precision that is shipped by Dice over all phantoms."""
    engines = {
        name: load_ensemble(settings(tta_ops=ops, engine=name, precision="f32"))
        for name in ("openvino", "torch")
    }
    shipped = load_ensemble(settings(tta_ops=ops))
    expected, masks = [], []
    for phantom in phantoms[:shapes]:
        expected.append(plain_mask(plain_folds, phantom.grey, list(shipped.tta_ops), shipped.threshold))
        for name, ensemble in engines.items():
            mask = ensemble.predict(phantom.grey).mask[..., 0] > 0
            assert (mask != expected[-1]).mean() <= AGREEMENT, name
        masks.append(shipped.predict(phantom.grey).mask[..., 0] > 0)
    assert sum(int(mask.sum()) for mask in expected)
    together = [np.concatenate([mask.ravel() for mask in each]) for each in (expected, masks)]
    assert dice_score(*together) > SHIPPED_AGREEMENT


def test_grey_and_rgb_scans_give_the_same_mask(ensemble: Ensemble, phantom: Phantom) -> None:
    rgb = np.repeat(phantom.grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(ensemble.predict(rgb).mask, ensemble.predict(phantom.grey).mask)


def test_an_inverted_scan_gets_the_mask_that_the_scan_gets(ensemble: Ensemble, phantom: Phantom) -> None:
    inverted = np.asarray(255 - phantom.grey, np.uint8)
    expected, turned = ensemble.predict(phantom.grey), ensemble.predict(inverted)
    assert expected.tumor_area_px
    np.testing.assert_array_equal(turned.mask, expected.mask)
    np.testing.assert_array_equal(turned.scan, phantom.grey)
    assert (expected.warnings, len(turned.warnings)) == ((), 1)
    np.testing.assert_array_equal(ensemble.probability_map(inverted), turned.probability_map)


def test_a_prediction_is_valid_and_repeatable(ensemble: Ensemble, phantom: Phantom) -> None:
    first, second = ensemble.predict(phantom.grey), ensemble.predict(phantom.grey)
    validate_segmentation(phantom.grey, first.mask)
    np.testing.assert_array_equal(first.probability_map, second.probability_map)
    assert first.probability_map.shape == phantom.grey.shape
    assert (first.mask[..., 0] > 0).sum() == first.tumor_area_px
    assert 0 <= first.tumor_probability <= 1


def test_the_ensemble_is_the_mean_of_its_folds(ensemble: Ensemble, phantom: Phantom) -> None:
    ops = ensemble.tta_ops
    alone = [
        build_ensemble([fold], settings(), tta_ops=ops, threshold=0.5).probability_map(phantom.grey)
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


def test_whether_a_mask_is_made_blank_is_a_setting(phantom: Phantom) -> None:
    marked, blank = (load_ensemble(settings(blank_below=below)) for below in (0, 0.9999))
    assert marked.predict(phantom.grey).tumor_area_px
    unsure = blank.predict(make_phantom(2, lesions=0, size=(489, 400)).grey)
    assert (unsure.tumor_area_px, unsure.lesions()) == (0, [])
    assert blank.identity()["blank_below"] == 0.9999


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
