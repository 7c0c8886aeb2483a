"""What a training scan goes through before the network sees it."""

import os
from collections.abc import Callable
from functools import partial

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # read by albumentations when it is imported

import albumentations as A
import cv2
import numpy as np
import numpy.typing as npt

from inference.preparation import GreyScan
from training.config import FitConfig
from training.fitting.changes import STRONG, USUAL, Changes

NO_UPTAKE = 255

SoftLabel = npt.NDArray[np.uint8]


def choose_augmentation(config: FitConfig) -> A.Compose:
    """Build the pipeline that a run's configuration names."""
    if not config.augmentation:
        return build_crop(config.crop_size)
    return AUGMENTATIONS[config.augmentations](config.crop_size, vertical_flips=config.vertical_flips)


def build_augmentation(
    crop_size: tuple[int, int], *, vertical_flips: float = 0.0, changes: Changes = USUAL
) -> A.Compose:
    """Build the pipeline for scans already at the network's resolution.

    Image and mask are uint8 (h, w): grey (white is no uptake) and tumour share in 1/255.
    The result has `crop_size` (height, width), both multiples of 32. `vertical_flips` is the
    share of scans turned upside down.
    """
    moved = {
        "interpolation": cv2.INTER_LINEAR,
        "mask_interpolation": cv2.INTER_LINEAR,
        "fill": NO_UPTAKE,
        "fill_mask": 0,
    }
    elastic = A.ElasticTransform(
        alpha=60, sigma=9, border_mode=cv2.BORDER_CONSTANT, p=changes.elastic_p, **moved
    )
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=vertical_flips),
            A.Affine(
                scale=changes.scale,
                rotate=(-changes.rotate_deg, changes.rotate_deg),
                shear=dict.fromkeys("xy", (-changes.shear_deg, changes.shear_deg)),
                translate_percent=dict.fromkeys("xy", (-changes.shift, changes.shift)),
                p=changes.affine_p,
                **moved,
            ),
            build_crop(crop_size),
            *([elastic] if changes.elastic_p else []),  # without it nothing is drawn for it
            A.RandomBrightnessContrast(
                brightness_limit=changes.brightness,
                contrast_limit=changes.contrast,
                p=changes.brightness_contrast_p,
            ),
            A.RandomGamma(gamma_limit=changes.gamma, p=changes.gamma_p),
            A.GaussianBlur(sigma_limit=(0.3, changes.blur_sigma), blur_limit=0, p=changes.blur_p),
            A.GaussNoise(std_range=(0.01, changes.noise_std), p=changes.noise_p),
            A.SaltAndPepper(amount=(0.001, 0.01), p=changes.salt_pepper_p),
        ]
    )


def build_original_augmentation(crop_size: tuple[int, int], *, vertical_flips: float = 0.5) -> A.Compose:
    """Build what the original system is documented to have done; images and masks as above.

    The kinds of change are its own, their strengths and shares are not documented.
    """
    return A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.VerticalFlip(p=vertical_flips),
            build_crop(crop_size),
            A.RandomBrightnessContrast(brightness_limit=0.2, contrast_limit=0.2, p=0.5),
            A.GaussianBlur(sigma_limit=(0.5, 2.0), blur_limit=0, p=0.2),
            A.GaussNoise(std_range=(0.02, 0.08), p=0.2),
            A.SaltAndPepper(amount=(0.005, 0.02), p=0.2),
        ]
    )


def build_crop(crop_size: tuple[int, int]) -> A.Compose:
    """Build what every training scan needs: padding with no uptake and a random crop to `crop_size`."""
    height, width = crop_size
    return A.Compose(
        [
            A.PadIfNeeded(height, width, position="random", fill=NO_UPTAKE, fill_mask=0),
            A.RandomCrop(height, width),
        ]
    )


AUGMENTATIONS: dict[str, Callable[..., A.Compose]] = {
    "default": build_augmentation,
    "strong": partial(build_augmentation, changes=STRONG),
    "original": build_original_augmentation,
}


def paste_lesions(
    scan: GreyScan,
    patient: GreyScan,
    soft_label: SoftLabel,
    generator: np.random.Generator,
    *,
    shift_px: int = 12,
) -> tuple[GreyScan, SoftLabel]:
    """Give a scan a patient's lesions, as the projection itself would: the darker grey wins.

    All arrays are uint8 (h, w) at the network's resolution; the two scans may differ in height.
    Lesions keep their place up to a shift and a mirroring; where the scan is darker still they
    cannot be seen and stay out of the label. Returns the new scan and its soft label.
    """
    lesion = np.where(soft_label > 0, patient, NO_UPTAKE).astype(np.uint8)
    if generator.random() < 0.5:
        lesion, soft_label = lesion[:, ::-1], soft_label[:, ::-1]
    shift = generator.integers(-shift_px, shift_px + 1, size=2)
    lesion = _placed(lesion, scan.shape, shift, NO_UPTAKE)  # (h, w)
    share = _placed(soft_label, scan.shape, shift, 0)  # (h, w)
    darker = lesion < scan
    return np.minimum(scan, lesion), np.where(darker, share, 0).astype(np.uint8)


def _placed(image: np.ndarray, shape: tuple[int, ...], shift: np.ndarray, fill: int) -> np.ndarray:
    moved = np.array([[1, 0, shift[1]], [0, 1, shift[0]]], dtype=np.float32)
    size = (shape[1], shape[0])
    placed = cv2.warpAffine(
        np.ascontiguousarray(image), moved, size, flags=cv2.INTER_NEAREST, borderValue=float(fill)
    )
    return np.asarray(placed)
