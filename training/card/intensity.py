"""What becomes of a crop's greys: contrast, gamma, blur, noise, as `fitting.augmentation` changes them."""

import torch
import torch.nn.functional as F

from training.fitting.changes import Changes

BLUR_RADIUS = 4


def change_greys(uptake: torch.Tensor, changes: Changes, generator: torch.Generator) -> torch.Tensor:
    """Change crops (B, 1, h, w) float32, uptake 0..1, each by draws of its own; returns the same shape."""

    def uniform(low: float, high: float) -> torch.Tensor:
        drawn = torch.rand(len(uptake), 1, 1, 1, generator=generator, device=uptake.device)
        return drawn * (high - low) + low

    def chosen(share: float) -> torch.Tensor:
        return uniform(0, 1) < share

    grey = 1 - uptake
    contrast = 1 + uniform(-changes.contrast, changes.contrast)
    brightness = uniform(-changes.brightness, changes.brightness)
    changed = (grey * contrast + brightness).clamp(0, 1)
    grey = torch.where(chosen(changes.brightness_contrast_p), changed, grey)
    low, high = changes.gamma
    grey = torch.where(chosen(changes.gamma_p), grey.clamp(min=1e-6) ** (uniform(low, high) / 100), grey)
    blurred = _blur(grey, uniform(0.3, changes.blur_sigma).flatten())
    grey = torch.where(chosen(changes.blur_p), blurred, grey)
    noise = torch.randn(grey.shape, generator=generator, device=grey.device)
    noise *= uniform(0.01, changes.noise_std) * chosen(changes.noise_p)
    grey = (grey + noise).clamp(0, 1)
    speck = torch.rand(grey.shape, generator=generator, device=grey.device)
    amount = uniform(0.001, 0.01) * chosen(changes.salt_pepper_p)
    grey = torch.where(speck < amount / 2, torch.zeros_like(grey), grey)
    grey = torch.where(speck > 1 - amount / 2, torch.ones_like(grey), grey)
    return 1 - grey


def _blur(images: torch.Tensor, sigmas: torch.Tensor) -> torch.Tensor:
    """Blur images (B, 1, h, w), each by its own Gaussian, (B,) px."""
    offsets = torch.arange(-BLUR_RADIUS, BLUR_RADIUS + 1, device=images.device)
    kernels = torch.exp(-(offsets**2) / (2 * sigmas[:, None] ** 2))  # (B, k)
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    beside = images.transpose(0, 1)  # (1, B, h, w): a channel an image
    margin = (BLUR_RADIUS,) * 4
    padded = F.pad(beside, margin, mode="replicate")
    rows = F.conv2d(padded, kernels[:, None, :, None], groups=len(images))
    return F.conv2d(rows, kernels[:, None, None, :], groups=len(images)).transpose(0, 1)
