import numpy as np
import pytest

from training.fitting.augmentation import AUGMENTATIONS, build_augmentation, build_crop, paste_lesions
from training.phantoms.drawing import make_phantom

PHANTOM = make_phantom(1, lesions=6, radius_px=(6, 9), size=(235, 192))
SHARE = PHANTOM.label.astype(np.uint8) * 255


@pytest.mark.parametrize("kind", ["default", "strong"])
def test_image_and_label_move_together(kind: str) -> None:
    """A label drawn into the image is found where the image was moved to."""
    augmentation = AUGMENTATIONS[kind]((256, 192), vertical_flips=0.5)
    marked = np.where(PHANTOM.label, 0, 255).astype(np.uint8)
    for seed in range(10):
        augmentation.set_random_seed(seed)
        moved = augmentation(image=marked, mask=SHARE)
        dark, share = moved["image"] < 100, moved["mask"] > 127
        agreement = 2 * (dark & share).sum() / (dark.sum() + share.sum())
        assert moved["image"].shape == moved["mask"].shape == (256, 192)
        assert agreement > 0.7


def test_vertical_flips_happen_when_asked_for() -> None:
    head = np.full((256, 192), 255, np.uint8)
    head[:20] = 0
    for share, expected in ((0.0, False), (1.0, True)):
        augmentation = build_augmentation((256, 192), vertical_flips=share)
        augmentation.set_random_seed(0)
        moved = augmentation(image=head, mask=np.zeros_like(head))["image"]
        assert (moved[200:].mean() < moved[:56].mean()) == expected


def test_padding_has_no_uptake_and_no_tumour() -> None:
    padded = build_crop((256, 256))(image=PHANTOM.grey, mask=np.full_like(SHARE, 255))
    outside = padded["mask"] == 0
    assert outside.sum() == 256 * 256 - 235 * 192
    assert (padded["image"][outside] == 255).all()


@pytest.mark.parametrize("seed", range(5))
def test_pasted_lesions_are_the_darker_of_both_and_labelled(seed: int) -> None:
    control = make_phantom(100 + seed, lesions=0, size=(204, 192)).grey
    grey, share = paste_lesions(control, PHANTOM.grey, SHARE, np.random.default_rng(seed))
    assert grey.shape == share.shape == control.shape
    assert (grey <= control).all()
    changed = grey < control
    assert changed.any()
    np.testing.assert_array_equal(share > 0, changed)


def test_a_lesion_behind_something_darker_is_not_labelled() -> None:
    black = np.zeros((235, 192), np.uint8)
    grey, share = paste_lesions(black, PHANTOM.grey, SHARE, np.random.default_rng(0))
    np.testing.assert_array_equal(grey, black)
    assert not share.any()
