"""Losses on logits and soft labels, both (B, 1, H, W); a label pixel is its tumour share, 0..1."""

from collections.abc import Callable

import torch
import torch.nn.functional as F

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

SMOOTHING = 1.0


def batch_dice_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return 1 - Dice over all pixels of the batch: a control's false positives count too."""
    return _dice_loss(logits.sigmoid(), labels, dims=(0, 1, 2, 3)).mean()


def patient_dice_loss(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return 1 - Dice, averaged over the batch's scans that have tumour: what the competition scores."""
    losses = _dice_loss(logits.sigmoid(), labels, dims=(1, 2, 3))  # (B,)
    has_tumour = labels.amax(dim=(1, 2, 3)) > 0
    return (losses * has_tumour).sum() / has_tumour.sum().clamp(min=1)


def batch_dice_and_cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return batch Dice + per-patient Dice + binary cross-entropy, the default."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, labels)
    return batch_dice_loss(logits, labels) + patient_dice_loss(logits, labels) + cross_entropy


def _dice_loss(probabilities: torch.Tensor, labels: torch.Tensor, dims: tuple[int, ...]) -> torch.Tensor:
    overlap = (probabilities * labels).sum(dims)
    total = (probabilities + labels).sum(dims)
    return 1 - (2 * overlap + SMOOTHING) / (total + SMOOTHING)


LOSSES: dict[str, Loss] = {"dice-ce": batch_dice_and_cross_entropy, "dice": batch_dice_loss}
