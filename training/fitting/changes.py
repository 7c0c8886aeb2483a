"""How much a training scan is changed, whatever changes it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Changes:
    """How much of a scan is changed: ranges, and in `_p` the share of scans that a change comes to."""

    scale: tuple[float, float] = (0.85, 1.15)
    rotate_deg: float = 8
    shear_deg: float = 0
    shift: float = 0.04
    affine_p: float = 0.7
    elastic_p: float = 0
    brightness: float = 0.12
    contrast: float = 0.15
    brightness_contrast_p: float = 0.4
    gamma: tuple[int, int] = (75, 130)
    gamma_p: float = 0.4
    blur_sigma: float = 0.9
    blur_p: float = 0.15
    noise_std: float = 0.04
    noise_p: float = 0.2
    salt_pepper_p: float = 0.1


USUAL = Changes()

STRONG = Changes(
    scale=(0.75, 1.3),
    rotate_deg=12,
    shear_deg=4,
    shift=0.06,
    affine_p=0.8,
    elastic_p=0.3,
    brightness=0.15,
    contrast=0.25,
    brightness_contrast_p=0.5,
    gamma=(60, 165),
    gamma_p=0.6,
    blur_sigma=1.1,
    blur_p=0.2,
    noise_std=0.05,
    noise_p=0.25,
)
"""More of every change, and elastic ones too."""
