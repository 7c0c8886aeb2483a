import numpy as np
import torch

from inference.preparation import resize
from tests.training.card.conftest import TINY, UNCHANGED
from training.card.batches import CardBatches
from training.card.scans import CardScans
from training.scans.dataset import LabelledScan

NO_LESIONS = {
    "lesion_paste": 0.0,
    "lesion_paste_patients": 0.0,
    "synthetic_lesions": 0.0,
    "synthetic_lesions_patients": 0.0,
}


def test_a_batch_is_a_function_of_its_number(on_card: CardScans) -> None:
    batches = CardBatches(on_card, TINY, 0)
    first = batches.draw(3, synthetic=True)
    other = batches.draw(4, synthetic=True)
    again = CardBatches(on_card, TINY, 0).draw(3, synthetic=True)
    assert all(torch.equal(one, two) for one, two in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    inputs, labels = first
    assert inputs.shape == labels.shape == (5, 1, 96, 64)
    for values in first:
        assert 0 <= float(values.min()) < float(values.max()) <= 1


def test_every_scan_comes_once_before_any_comes_again(on_card: CardScans) -> None:
    batches = CardBatches(on_card, TINY, 0)
    drawn = [int(index) for number in range(7) for index in batches._cycled(7, 3, number, "patients")]
    for cycle in range(3):
        assert sorted(drawn[7 * cycle : 7 * cycle + 7]) == list(range(7))


class CornerBatches(CardBatches):
    """Crops that all begin at their scans' top left corner, as the pipeline's do."""

    def _corners(self, chosen: torch.Tensor, sizes: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(sizes)


def test_unchanged_crops_are_prepared_as_in_serving(scans: list[LabelledScan], on_card: CardScans) -> None:
    """Both ways average areas, by other samples: single pixels at edges differ, means hardly."""
    config = TINY.model_copy(update=NO_LESIONS | {"crop_size": (768, 352), "input_scale": 0.86})
    batches = CornerBatches(on_card, config, 0, changes=UNCHANGED)
    inputs, labels = batches.draw(0, synthetic=True)
    patients = [scan for scan in scans if scan.case.is_patient]
    for place, index in enumerate(batches._cycled(on_card.patients, 3, 0, "patients")):
        scan = patients[int(index)]
        size = config.preparation.resized_size((scan.grey.shape[0], scan.grey.shape[1]))
        wanted = 1 - resize(scan.grey.astype(np.float32), size) / 255
        share = resize(scan.label.astype(np.float32), size)
        found, marked = (images[place, 0].numpy()[: size[0], : size[1]] for images in (inputs, labels))
        if np.abs(found - wanted).mean() > np.abs(found - wanted[:, ::-1]).mean():
            wanted, share = wanted[:, ::-1], share[:, ::-1]
        assert np.abs(found - wanted).mean() < 0.004
        assert np.abs(marked - share).sum() < 0.12 * share.sum()
        assert abs(marked.sum() / share.sum() - 1) < 0.01


def test_controls_have_no_tumour_but_what_they_are_given(on_card: CardScans) -> None:
    bare = CardBatches(on_card, TINY.model_copy(update=NO_LESIONS), 0)
    given = CardBatches(on_card, TINY.model_copy(update=NO_LESIONS | {"synthetic_lesions": 1.0}), 0)
    marked = given.draw(0, synthetic=True)[1]
    assert not bare.draw(0, synthetic=True)[1][3:].any()
    assert marked[3:].any()
    assert not given.draw(0, synthetic=False)[1][3:].any()


def test_crops_of_tall_scans_show_a_row_with_tumour(on_card: CardScans) -> None:
    config = TINY.model_copy(update=NO_LESIONS | {"crop_size": (32, 64), "lesion_rows": 1.0})
    batches = CardBatches(on_card, config, 0, changes=UNCHANGED)
    shown = [bool(crop.any()) for number in range(8) for crop in batches.draw(number, synthetic=False)[1][:3]]
    assert np.mean(shown) > 0.9
