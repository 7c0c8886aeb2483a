"""A fold's training scans as tensors on the card, each in the corner of one canvas."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch

from training.scans.dataset import Label, LabelledScan

ROWS_KEPT = 256
LESIONS_TOLD_APART = 255


@dataclass(frozen=True)
class CardScans:
    """Scans, patients first, all on one device.

    `uptake` (N, H, W) uint8 is 255 - grey, nothing outside a scan; `sizes` (N, 2) float32 are the scans' own
    heights and widths. Of the P patients, `lesions` (P, H, W) uint8 numbers the connected lesions from 1 on,
    and `lesion_rows` (P, 256) float32 are rows of tumour pixels drawn at random, in px.
    """

    uptake: torch.Tensor
    sizes: torch.Tensor
    lesions: torch.Tensor
    lesion_rows: torch.Tensor

    @property
    def patients(self) -> int:
        """Return how many of the scans are patients'."""
        return len(self.lesions)

    @property
    def controls(self) -> int:
        """Return how many are controls'."""
        return len(self.uptake) - len(self.lesions)


def load_scans(scans: Sequence[LabelledScan], device: torch.device) -> CardScans:
    """Put scans on a device; patients come first, whatever their order here."""
    patients = [scan for scan in scans if scan.case.is_patient]
    ordered = [*patients, *(scan for scan in scans if not scan.case.is_patient)]
    canvas = tuple(np.max([scan.grey.shape for scan in ordered], axis=0))
    generator = np.random.default_rng(0)
    uptake = np.stack([_placed(255 - scan.grey, canvas) for scan in ordered])
    lesions = np.stack([_placed(_lesions(scan.label), canvas) for scan in patients])
    rows = [generator.choice(np.nonzero(scan.label)[0], ROWS_KEPT) for scan in patients]
    sizes = np.array([scan.grey.shape for scan in ordered], dtype=np.float32)
    return CardScans(
        uptake=torch.from_numpy(uptake).to(device),
        sizes=torch.from_numpy(sizes).to(device),
        lesions=torch.from_numpy(lesions).to(device),
        lesion_rows=torch.from_numpy(np.array(rows, dtype=np.float32)).to(device),
    )


def _lesions(label: Label) -> npt.NDArray[np.uint8]:
    """Number the connected regions of a label (H, W); those beyond the 255th are numbered with it."""
    _, numbered = cv2.connectedComponents(label.astype(np.uint8))
    return np.minimum(numbered, LESIONS_TOLD_APART).astype(np.uint8)


def _placed(image: npt.NDArray[np.uint8], canvas: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    height, width = image.shape
    return np.pad(image, ((0, canvas[0] - height), (0, canvas[1] - width)))
