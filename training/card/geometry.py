"""Where a crop looks at its scan: mirrored, moved, zoomed, turned, sheared and bent in one sampling.

Points are in px, as (x, y); the centre of an image's first pixel is at (0.5, 0.5).
"""

import math

import torch
import torch.nn.functional as F

from training.fitting.changes import Changes

SUPERSAMPLING = 2
"""A pixel of a crop is the mean of so many points a side, as `preparation.resize` averages areas."""

BEND_SPACING_PX = 24


BEND_SPACING_PX, BEND_PX = 24, 1.5
"""How far apart the points are that elastic changes move at random, and how far they do."""


def draw_affine(
    count: int, changes: Changes, width: float, generator: torch.Generator, *, mirrored: float = 0.5
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw linear maps (B, 2, 2) from a crop's directions to a scan's, and shifts (B, 2) in px of the scan.

    `width` is what shifts are shares of, `mirrored` the share of maps that turn left and right around.
    """

    def uniform(low: float, high: float) -> torch.Tensor:
        return torch.rand(count, generator=generator, device=generator.device) * (high - low) + low

    zoom = torch.exp(uniform(*(math.log(limit) for limit in changes.scale)))
    angle = torch.deg2rad(uniform(-changes.rotate_deg, changes.rotate_deg))
    shear = torch.tan(torch.deg2rad(uniform(-changes.shear_deg, changes.shear_deg)))
    cosine, sine = torch.cos(angle), torch.sin(angle)
    turned = torch.stack([cosine, -sine, sine, cosine], dim=1).view(-1, 2, 2)
    still = torch.eye(2, device=generator.device).expand(count, 2, 2)
    sheared = still.clone()
    sheared[:, 0, 1] = shear
    is_moved = uniform(0, 1) < changes.affine_p
    maps = torch.where(is_moved[:, None, None], turned @ sheared / zoom[:, None, None], still)
    shifts = torch.stack([uniform(-changes.shift, changes.shift) for _ in range(2)], dim=1) * width
    mirror = torch.where(uniform(0, 1) < mirrored, -1.0, 1.0)
    maps = maps * torch.stack([mirror, torch.ones_like(mirror)], dim=1)[:, None]
    return maps, shifts * is_moved[:, None]


def crop_points(crop_size: tuple[int, int], device: torch.device) -> torch.Tensor:
    """Return the points (h', w', 2) of a crop at which its scan is looked at, finer than its pixels."""
    rows, columns = (
        (torch.arange(side * SUPERSAMPLING, device=device) + 0.5) / SUPERSAMPLING for side in crop_size
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([x, y], dim=-1)


def scan_points(
    points: torch.Tensor,
    corners: torch.Tensor,
    centres: torch.Tensor,
    maps: torch.Tensor,
    shifts: torch.Tensor,
    scale: float,
) -> torch.Tensor:
    """Map points (h', w', 2) of crops to points (B, h', w', 2) of their scans.

    `corners` (B, 2) are the crops' top left corners in the resized scans, of which a pixel is `scale` of the
    scan's; `centres` (B, 2) what the linear `maps` (B, 2, 2) leave in place, before `shifts` (B, 2), both in
    px of the scan.
    """
    plain = (points + corners[:, None, None]) / scale  # (B, h', w', 2)
    return transform(plain, centres, maps, shifts)


def transform(
    points: torch.Tensor, centres: torch.Tensor, maps: torch.Tensor, shifts: torch.Tensor
) -> torch.Tensor:
    """Map points (B, h', w', 2) linearly about centres (B, 2), and shift them by (B, 2)."""
    around = points - centres[:, None, None]
    mapped = torch.einsum("bij,bhwj->bhwi", maps, around)
    return mapped + (centres + shifts)[:, None, None]


def bend(points: torch.Tensor, share: float, generator: torch.Generator) -> torch.Tensor:
    """Displace the points (B, h', w', 2) of a share of the scans smoothly."""
    count, height, width = points.shape[:3]
    cell = BEND_SPACING_PX * SUPERSAMPLING
    coarse = (count, 2, math.ceil(height / cell) + 1, math.ceil(width / cell) + 1)
    knots = torch.randn(coarse, generator=generator, device=points.device) * BEND_PX
    bent = torch.rand(count, generator=generator, device=points.device) < share
    knots *= bent[:, None, None, None]
    field = F.interpolate(knots, size=(height, width), mode="bicubic", align_corners=True)
    return points + field.permute(0, 2, 3, 1)


def sample(images: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
    """Look at images (B, C, H, W) at points (B, h', w', 2): (B, C, h', w'), nothing beyond the edges."""
    size = torch.tensor([images.shape[3], images.shape[2]], dtype=points.dtype, device=points.device)
    return F.grid_sample(
        images, points * 2 / size - 1, mode="bilinear", padding_mode="zeros", align_corners=False
    )


def to_pixels(sampled: torch.Tensor) -> torch.Tensor:
    """Average what was sampled (B, C, h', w') into a crop's pixels (B, C, h, w)."""
    return F.avg_pool2d(sampled, SUPERSAMPLING)
