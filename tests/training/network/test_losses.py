import pytest
import torch

from training.network.losses import LOSSES, batch_dice_loss, patient_dice_loss

LABELS = torch.zeros(2, 1, 8, 8)
LABELS[0, 0, 2:6, 2:6] = 1  # the second scan is a control


def logits(probability: torch.Tensor) -> torch.Tensor:
    return torch.logit(probability, eps=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_perfect_answer_costs_next_to_nothing_and_a_wrong_one_much(name: str) -> None:
    assert LOSSES[name](logits(LABELS), LABELS) < 1e-3
    assert LOSSES[name](logits(1 - LABELS), LABELS) > 0.9


def test_batch_dice_counts_a_controls_false_positives_and_patient_dice_does_not() -> None:
    stray = LABELS.clone()
    stray[1, 0, :4] = 1
    assert batch_dice_loss(logits(stray), LABELS) > 0.4
    assert patient_dice_loss(logits(stray), LABELS) < 1e-3


def test_patient_dice_weighs_small_and_large_tumours_alike() -> None:
    labels = torch.zeros(2, 1, 32, 32)
    labels[0, 0, :16] = 1
    labels[1, 0, 16:18, 16:18] = 1
    missed_small = labels.clone()
    missed_small[1] = 0
    missed_large = labels.clone()
    missed_large[0] = 0
    small, large = (patient_dice_loss(logits(m), labels) for m in (missed_small, missed_large))
    assert small == pytest.approx(0.5, abs=0.15)
    assert large == pytest.approx(0.5, abs=0.15)


def test_controls_alone_have_no_patient_dice() -> None:
    assert patient_dice_loss(torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)) == 0
