"""Batches for training: patients and controls in a fixed share, every draw with a seed of its own."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

import cv2
import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from inference.preparation import FloatMap, GreyScan, Preparation, resize
from training.config import FitConfig
from training.fitting.augmentation import SoftLabel, choose_augmentation, paste_lesions
from training.scans.dataset import LabelledScan

Draw = tuple[int, int]
"""The index of a scan, and the seed of all that is random about its augmentation."""


@dataclass(frozen=True)
class ResizedScan:
    """A scan at the network's resolution: grey and tumour share in 1/255, both (h, w) uint8."""

    grey: GreyScan
    soft_label: SoftLabel


def resize_scan(scan: LabelledScan, preparation: Preparation, *, grown_label: bool = False) -> ResizedScan:
    """Resize a scan and its label alike, by area: a label pixel keeps the share of it that is tumour.

    Cut at one half after scaling back up, such a label differs least from the one it came from; one
    cut at the low resolution, or at more than zero, loses or gains a rim around every lesion. The
    original system did the latter: `grown_label` does as it did.
    """
    size = preparation.resized_size((scan.grey.shape[0], scan.grey.shape[1]))
    share = resize(scan.label.astype(np.float32), size)  # (h, w)
    if grown_label:
        share = (share > 0).astype(np.float32)
    return ResizedScan(_to_bytes(resize(scan.grey.astype(np.float32), size)), _to_bytes(share * 255))


class TrainingScans(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Augmented scans, each a pure function of its draw: the same at any time, in any worker."""

    def __init__(self, scans: list[LabelledScan], config: FitConfig) -> None:
        self.preparation = config.preparation
        resized = [resize_scan(s, self.preparation, grown_label=config.grown_labels) for s in scans]
        kinds = list(zip(resized, scans, strict=True))
        self.patients = [small for small, scan in kinds if scan.case.is_patient]
        self.controls = [small for small, scan in kinds if not scan.case.is_patient]
        self.lesion_paste = config.lesion_paste
        self.lesion_paste_patients = config.lesion_paste_patients
        self.augmentation = choose_augmentation(config)

    def __getitem__(self, draw: Draw) -> tuple[torch.Tensor, torch.Tensor]:
        """Return input (1, h, w) float32 and soft label (1, h, w) float32; controls follow patients."""
        cv2.setNumThreads(1)
        index, seed = draw
        generator = np.random.default_rng(seed)
        if index < len(self.patients):
            grey, soft_label = self.patients[index].grey, self.patients[index].soft_label
            # without it nothing is drawn for it, so that runs of before are repeated by their seeds
            if self.lesion_paste_patients and generator.random() < self.lesion_paste_patients:
                donor = self.patients[generator.integers(len(self.patients))]
                grey, pasted = paste_lesions(grey, donor.grey, donor.soft_label, generator)
                soft_label = np.maximum(soft_label, pasted)
        else:
            control = self.controls[index - len(self.patients)]
            grey, soft_label = control.grey, control.soft_label
            if generator.random() < self.lesion_paste:
                patient = self.patients[generator.integers(len(self.patients))]
                grey, soft_label = paste_lesions(grey, patient.grey, patient.soft_label, generator)
        self.augmentation.set_random_state(generator, Random(int(generator.integers(2**31))))
        augmented = self.augmentation(image=grey, mask=soft_label)
        return to_input(augmented["image"], self.preparation), _to_unit(augmented["mask"])


class BalancedSampler(Sampler[Draw]):
    """Draws every patient once an epoch, and controls in between, so that each batch has its share.

    Batches are to be cut from it in order, with `batch_size` of the same configuration.
    """

    def __init__(self, dataset: TrainingScans, config: FitConfig) -> None:
        self.dataset = dataset
        self.config = config
        self.epoch = 0
        self.controls_per_batch = config.controls_per_batch if dataset.controls else 0

    @property
    def batch_size(self) -> int:
        """Return how many draws in order make a batch."""
        return self.config.patients_per_batch + self.controls_per_batch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose draws come next; the trainer calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self._batches() * self.batch_size

    def __iter__(self) -> Iterator[Draw]:
        generator = np.random.default_rng((self.config.seed, self.config.fold, self.epoch))
        patients, controls = len(self.dataset.patients), len(self.dataset.controls)
        patient_order = _repeated(generator, patients, self._batches() * self.config.patients_per_batch)
        control_order = _repeated(generator, controls, self._batches() * self.controls_per_batch)
        for batch in range(self._batches()):
            indices = [
                *patient_order[batch * self.config.patients_per_batch :][: self.config.patients_per_batch],
                *(patients + control_order[batch * self.controls_per_batch :][: self.controls_per_batch]),
            ]
            for index in indices:
                yield int(index), int(generator.integers(2**31))

    def _batches(self) -> int:
        return -(-len(self.dataset.patients) // self.config.patients_per_batch)


class FoldData(L.LightningDataModule):
    """The scans of one fold: those to train on, and those held out."""

    def __init__(self, training: list[LabelledScan], held_out: list[LabelledScan], config: FitConfig) -> None:
        super().__init__()
        self.training = TrainingScans(training, config)
        self.held_out_patients = [scan for scan in held_out if scan.case.is_patient]
        self.config = config

    def train_dataloader(self) -> DataLoader[tuple[torch.Tensor, torch.Tensor]]:
        """Return the batches of one epoch: inputs and soft labels, both (B, 1, h, w) float32."""
        sampler = BalancedSampler(self.training, self.config)
        return DataLoader(
            self.training,
            batch_size=sampler.batch_size,
            sampler=sampler,
            num_workers=self.config.workers,
            persistent_workers=self.config.workers > 0,
            pin_memory=torch.cuda.is_available(),
        )

    def statistics_batches(self) -> Iterator[torch.Tensor]:
        """Yield the inputs of one epoch, always the same, for the statistics of batch normalisation."""
        for inputs, _ in self.train_dataloader():
            yield inputs

    def val_dataloader(self) -> DataLoader[int]:
        """Return the indices of the held-out patients, whose whole scans are validated one at a time."""
        return DataLoader(range(len(self.held_out_patients)), batch_size=None)  # type: ignore[arg-type]


def to_input(grey: GreyScan, preparation: Preparation) -> torch.Tensor:
    """Return the network's input (1, h, w) float32 for a padded scan at the network's resolution."""
    return torch.from_numpy(preparation.normalise(grey.astype(np.float32)))[None]


def _to_unit(soft_label: SoftLabel) -> torch.Tensor:
    return torch.from_numpy(soft_label.astype(np.float32) / 255)[None]


def _to_bytes(image: FloatMap) -> npt.NDArray[np.uint8]:
    return np.clip(image.round(), 0, 255).astype(np.uint8)


def _repeated(generator: np.random.Generator, size: int, length: int) -> npt.NDArray[np.int64]:
    if length == 0:
        return np.empty(0, dtype=np.int64)
    rounds = -(-length // size)
    return np.concatenate([generator.permutation(size) for _ in range(rounds)])[:length]
