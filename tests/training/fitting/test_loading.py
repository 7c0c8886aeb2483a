from pathlib import Path

import numpy as np
import pytest
import torch

from inference.preparation import Preparation, resize
from training.config import FitConfig
from training.fitting.loading import BalancedSampler, FoldData, ResizedScan, TrainingScans, resize_scan
from training.phantoms.drawing import make_phantom, write_phantoms
from training.scans.dataset import LabelledScan, find_cases, read_cases
from utils import dice_score

CONFIG = FitConfig(fold=0, crop_size=(96, 96), patients_per_batch=2, controls_per_batch=1)


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[LabelledScan]:
    folder = tmp_path_factory.mktemp("data")
    write_phantoms(folder, patients=5, controls=3)
    return read_cases(find_cases(folder))


def test_a_draw_is_repeatable_and_seeds_differ(scans: list[LabelledScan]) -> None:
    dataset = TrainingScans(scans, CONFIG)
    for index in (0, 6):
        first, again, other = dataset[index, 1], dataset[index, 1], dataset[index, 2]
        assert torch.equal(first[0], again[0])
        assert torch.equal(first[1], again[1])
        assert not torch.equal(first[0], other[0])
    again = TrainingScans(scans, CONFIG)[0, 1]
    assert torch.equal(dataset[0, 1][0], again[0])


def test_augmentations_are_drawn_independently_of_one_another() -> None:
    """Brightness changes as often on flipped scans as on others: no draw decides two things."""
    grey = np.full((96, 96), 255, np.uint8)
    grey[20:40, 20:70] = 100  # left of the middle
    dataset = TrainingScans([], CONFIG)
    dataset.patients = [ResizedScan(grey, (grey < 255) * np.uint8(255))]
    flipped, changed = [], []
    for seed in range(300):
        inputs, label = dataset[0, seed]
        columns = np.argwhere(label[0].numpy() > 0.5)[:, 1]
        flipped.append(columns.mean() > 48)
        level = float(np.median(inputs[0].numpy()[label[0].numpy() > 0.99]))
        changed.append(abs(level - 155 / 255) > 0.004)
    shares = [
        np.mean([c for f, c in zip(flipped, changed, strict=True) if f == side]) for side in (True, False)
    ]
    assert 0.4 < np.mean(flipped) < 0.6
    assert min(shares) > 0.4
    assert abs(shares[0] - shares[1]) < 0.2


def test_inputs_and_labels_have_the_crops_shape_and_range(scans: list[LabelledScan]) -> None:
    dataset = TrainingScans(scans, CONFIG)
    for index in range(8):
        inputs, label = dataset[index, index]
        assert inputs.shape == label.shape == (1, 96, 96)
        assert inputs.dtype == label.dtype == torch.float32
        assert 0 <= inputs.min() <= inputs.max() <= 1
        assert 0 <= label.min() <= label.max() <= 1


def test_every_batch_has_its_patients_and_controls(scans: list[LabelledScan]) -> None:
    dataset = TrainingScans(scans, CONFIG)
    sampler = BalancedSampler(dataset, CONFIG)
    draws = list(sampler)
    assert len(draws) == len(sampler) == 9
    for batch in (draws[0:3], draws[3:6], draws[6:9]):
        assert [index >= 5 for index, _ in batch] == [False, False, True]
    assert {index for index, _ in draws} >= {0, 1, 2, 3, 4}
    assert list(sampler) == draws
    sampler.set_epoch(1)
    assert list(sampler) != draws


def test_controls_get_lesions_pasted_and_their_label_with_them(scans: list[LabelledScan]) -> None:
    always = TrainingScans(scans, CONFIG.model_copy(update={"lesion_paste": 1.0, "crop_size": (448, 224)}))
    never = TrainingScans(scans, CONFIG.model_copy(update={"lesion_paste": 0.0, "crop_size": (448, 224)}))
    pasted = [always[6, seed][1].sum() for seed in range(4)]
    assert max(pasted) > 0
    assert all(never[6, seed][1].sum() == 0 for seed in range(4))


def test_patients_get_others_lesions_pasted_beside_their_own(scans: list[LabelledScan]) -> None:
    changes = {"crop_size": (448, 224), "augmentation": False}
    plain = TrainingScans(scans, CONFIG.model_copy(update=changes))
    pasted = TrainingScans(scans, CONFIG.model_copy(update=changes | {"lesion_paste_patients": 1.0}))
    more = 0
    for index in range(len(plain.patients)):
        own, both = plain.patients[index], pasted[index, 3]
        share = both[1].sum() - own.soft_label.sum() / 255
        assert share > -1e-3, "a patient has lost lesions of its own"
        more += share > 1
    assert more


def test_without_controls_batches_are_patients_alone(scans: list[LabelledScan]) -> None:
    data = FoldData([scan for scan in scans if scan.case.is_patient], [], CONFIG)
    assert [len(inputs) for inputs, _ in data.train_dataloader()] == [2, 2, 2]


def test_soft_labels_lose_less_of_small_lesions_than_cut_ones() -> None:
    preparation, size = Preparation(input_scale=0.48), (489, 400)
    for seed in range(4):
        phantom = make_phantom(seed, lesions=6, radius_px=(3, 4), size=size)
        scan = LabelledScan(None, phantom.grey, phantom.label)  # type: ignore[arg-type]
        share = resize_scan(scan, preparation).soft_label.astype(np.float32) / 255
        soft, cut_at_half, cut_above_zero = (
            resize(label.astype(np.float32), size) >= 0.5 for label in (share, share >= 0.5, share > 0)
        )
        assert dice_score(phantom.label, soft) > 0.9
        assert dice_score(phantom.label, soft) > dice_score(phantom.label, cut_at_half)
        assert dice_score(phantom.label, cut_at_half) > dice_score(phantom.label, cut_above_zero)


def test_the_statistics_batches_are_always_the_same(scans: list[LabelledScan]) -> None:
    data = FoldData(scans, [], CONFIG)
    for first, again in zip(data.statistics_batches(), data.statistics_batches(), strict=True):
        assert torch.equal(first, again)


def test_data_on_disk_gives_batches(tmp_path: Path) -> None:
    write_phantoms(tmp_path, patients=4, controls=0)
    data = FoldData(read_cases(find_cases(tmp_path)), [], CONFIG)
    inputs, labels = next(iter(data.train_dataloader()))
    assert inputs.shape == labels.shape == (2, 1, 96, 96)
