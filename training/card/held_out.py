"""What a fold makes of the scans that it never saw, on the card at once: maps and scores."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from inference.preparation import FloatMap, Preparation
from training.scans.dataset import LabelledScan
from utils import dice_score

THRESHOLDS = (0.3, 0.4, 0.5)
SCANS_A_BATCH = 8


@dataclass(frozen=True)
class HeldOutScores:
    """Mean Dice of patients and false-positive px a control at each of `THRESHOLDS`."""

    patients: int
    controls: int
    dice: dict[str, float]
    false_positive_px: dict[str, float]


def held_out_maps(
    network: nn.Module, scans: Sequence[LabelledScan], preparation: Preparation, device: torch.device
) -> Iterator[tuple[LabelledScan, FloatMap]]:
    """Yield scans, those of one size together, with the mean map (H, W) of the scan and its mirror image."""
    by_shape: dict[tuple[int, ...], list[LabelledScan]] = defaultdict(list)
    for scan in scans:
        by_shape[scan.grey.shape].append(scan)
    for alike in by_shape.values():
        for start in range(0, len(alike), SCANS_A_BATCH):
            some = alike[start : start + SCANS_A_BATCH]
            prepared = np.stack([preparation.prepare(scan.grey) for scan in some])[:, None]  # (B, 1, h, w)
            inputs = torch.from_numpy(prepared).to(device)
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                views = [network(inputs), network(inputs.flip(-1)).flip(-1)]
            means = torch.stack([view.float().sigmoid() for view in views]).mean(0)[:, 0].cpu().numpy()
            for scan, mean in zip(some, means, strict=True):
                height, width = scan.grey.shape
                yield scan, preparation.restore(mean, (height, width))


def score_maps(maps: Iterable[tuple[LabelledScan, FloatMap]]) -> HeldOutScores:
    """Return the scores of maps at the scans' own resolution."""
    dice: dict[str, list[float]] = {f"{threshold:g}": [] for threshold in THRESHOLDS}
    strays: dict[str, list[int]] = {f"{threshold:g}": [] for threshold in THRESHOLDS}
    patients = controls = 0
    for scan, mean in maps:
        patients += scan.case.is_patient
        controls += not scan.case.is_patient
        for threshold in THRESHOLDS:
            mask = mean >= threshold
            if scan.case.is_patient:
                dice[f"{threshold:g}"].append(dice_score(scan.label, mask))
            else:
                strays[f"{threshold:g}"].append(int(mask.sum()))
    return HeldOutScores(patients, controls, _means(dice), _means(strays))


def write_maps(maps: Iterable[tuple[LabelledScan, FloatMap]], path: Path) -> None:
    """Write each scan's map by its name, (H, W) uint8 in 1/255, as one compressed `.npz`."""
    arrays: dict[str, npt.NDArray[np.uint8]] = {
        scan.case.name: np.round(mean * 255).astype(np.uint8) for scan, mean in maps
    }
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]


def _means(values: dict[str, list[float]] | dict[str, list[int]]) -> dict[str, float]:
    return {name: float(np.mean(numbers)) for name, numbers in values.items() if numbers}
