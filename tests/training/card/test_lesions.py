import torch

from training.card.geometry import crop_points
from training.card.lesions import BODY_UPTAKE, CONTRASTS, VISIBLE, draw_lesions, paste, sample_lesions
from training.card.scans import CardScans

SIZE = (96, 64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_higher_uptake_wins_and_what_is_hidden_is_not_marked() -> None:
    uptake = torch.tensor([[[[0.2, 0.9, 0.5, 0.5]]]])
    lesion = torch.tensor([[[[0.8, 0.8, 0.5 + VISIBLE / 2, 0.0]]]])
    there = torch.tensor([[[[1.0, 1.0, 1.0, 0.0]]]])
    after, share = paste(uptake, torch.tensor([[[[0.0, 0.0, 0.0, 1.0]]]]), lesion, there)
    torch.testing.assert_close(after, torch.tensor([[[[0.8, 0.9, 0.5 + VISIBLE / 2, 0.5]]]]))
    assert share.tolist() == [[[[1, 0, 0, 1]]]]


def test_drawn_lesions_are_in_the_body_and_above_what_is_there() -> None:
    points = crop_points(SIZE, torch.device("cpu"))
    uptake = torch.zeros(40, 1, *points.shape[:2])
    body = slice(40, 150), slice(30, 100)
    uptake[:, :, body[0], body[1]] = 0.3
    uptake[:, :, 90:110, 50:80] = 1.0  # an organ that is hot itself
    lesion, marked = draw_lesions(uptake, points, 0.86, generator())
    after, share = paste(uptake, torch.zeros_like(uptake), lesion, marked)
    assert (share.amax((1, 2, 3)) == 1).all(), "every scan has a lesion"
    assert torch.equal(after[share > 0], lesion[share > 0])
    assert (after[share > 0] > uptake[share > 0] + VISIBLE).all()
    assert float(lesion.max()) <= min(1, BODY_UPTAKE[1] + CONTRASTS[1])
    outside = torch.ones_like(uptake, dtype=torch.bool)
    outside[:, :, body[0], body[1]] = False
    assert share[outside].sum() < 0.4 * share.sum(), "a lesion's centre is in the body"
    assert not share[:, :, 95:105, 55:75].any(), "the organ hides what is drawn over it"


def test_where_there_is_no_body_nothing_is_drawn() -> None:
    points = crop_points(SIZE, torch.device("cpu"))
    lesion, marked = draw_lesions(torch.zeros(3, 1, *points.shape[:2]), points, 0.86, generator())
    assert not lesion.any()
    assert not marked.any()


def test_patients_give_lesions_whole(on_card: CardScans) -> None:
    height, width = on_card.lesions.shape[1:]
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    centres = torch.stack([columns, rows], dim=-1) + 0.5
    donors = torch.arange(on_card.patients).repeat(4)
    lesion, share = sample_lesions(on_card, donors, centres.expand(len(donors), -1, -1, -1), generator(1))
    given = 0
    for number, donor in enumerate(donors):
        for index in range(1, int(on_card.lesions[donor].max()) + 1):
            there = on_card.lesions[donor] == index
            part = share[number, 0][there]
            assert torch.allclose(part, part[0].round().expand_as(part), atol=1e-3), "all of it or nothing"
            given += int(part[0].round())
        marked = share[number, 0] > 0.5
        own = on_card.uptake[donor].float() / 255
        torch.testing.assert_close(lesion[number, 0][marked], own[marked], atol=1e-3, rtol=0)
    total = 4 * int(on_card.lesions.amax((1, 2)).sum())
    assert 0.5 * total < given < total
