"""Lesions that a scan did not have: another patient's, or drawn ones; the higher uptake wins, as it projects.

Images are (B, 1, h', w') float32 at the points of `geometry.crop_points`: uptake 0..1 and tumour share 0..1.
"""

import math

import torch
import torch.nn.functional as F

from training.card.geometry import SUPERSAMPLING, sample
from training.card.scans import LESIONS_TOLD_APART, CardScans

VISIBLE = 0.02
"""How far above what is there a lesion's uptake is to be, so that it is marked."""

MOST_LESIONS = 10
MORE_LESIONS = 0.8
CLUSTERED = 0.5
CLUSTER_PX = 14.0
RADIUS_PX, RADIUS_SPREAD = 3.4, 0.74
RADIUS_LIMITS_PX = (1.2, 14.0)
"""Of the patients' lesions, as discs: median and quartiles 3.4, 2.1 and 5.7 px, log-normally spread."""
CONTRASTS = (0.12, 0.85)
"""Nine in ten of the patients' lesions are so far above what is around them."""
NARROWEST = 0.4
SOFTNESS_PX = (0.4, 1.0)
WAVES = (2, 3, 4)
WAVE_SPREAD = 0.25
MARKED_ABOVE = 0.45
"""A lesion is marked where its uptake is above this share of its peak."""

PLACES_TRIED = 64
BODY_UPTAKE = (0.06, 0.55)
"""What is there where a lesion is drawn: neither air, nor an organ that is hot itself."""
SMOOTHED_POINTS = 9


def sample_lesions(
    scans: CardScans, donors: torch.Tensor, points: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Look at the lesions of patients `donors` (B,) at points (B, h', w', 2): their uptake and share.

    Half of the patients give all their lesions, the others each with a probability that is drawn for them.
    """
    numbered = scans.lesions[donors]  # (B, H, W)
    shape = (len(donors), LESIONS_TOLD_APART + 1)
    kept_share = torch.rand(len(donors), 1, generator=generator, device=points.device) * 2
    kept = torch.rand(shape, generator=generator, device=points.device) < kept_share  # (B, lesions)
    kept[:, 0] = False
    given = kept.gather(1, numbered.flatten(1).long()).view(numbered.shape)  # (B, H, W)
    images = torch.stack([scans.uptake[donors].float() / 255 * given, given.float()], dim=1)
    looked_at = sample(images, points)
    return looked_at[:, :1], looked_at[:, 1:]


def paste(
    uptake: torch.Tensor, share: torch.Tensor, lesion: torch.Tensor, lesion_share: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give scans lesions; where a scan's own uptake hides them, they stay out of the share."""
    seen = lesion > uptake + VISIBLE
    return torch.maximum(uptake, lesion), torch.maximum(share, lesion_share * seen)


def draw_lesions(
    uptake: torch.Tensor, points: torch.Tensor, scale: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw lesions for scans (B, 1, h', w'), looked at at points (h', w', 2): their uptake and share.

    One to ten hot spots, alone or in clusters: ellipses with a wavy rim and soft edges, of sizes and
    contrasts as the patients' have them; `scale` is px of the crop a px of the scan.
    """
    count = len(uptake)
    smooth = F.avg_pool2d(uptake, SMOOTHED_POINTS, stride=1, padding=SMOOTHED_POINTS // 2)
    lesion, marked = torch.zeros_like(uptake), torch.zeros_like(uptake)
    first = torch.zeros(count, 2, device=uptake.device)
    clustered = _uniform(count, 0, 1, generator) < CLUSTERED
    going_on = torch.ones(count, dtype=torch.bool, device=uptake.device)
    for number in range(MOST_LESIONS):
        places = _places(smooth, first if number else None, clustered, scale, generator)  # (B, tries, 2)
        centre, below, found = _first_in_body(smooth, places)
        first = centre if number == 0 else first
        profile, inside = _profile(points, centre, scale, generator)
        peak = (below + _uniform(count, *CONTRASTS, generator)).clamp(max=1)
        is_drawn = (found & going_on)[:, None, None, None]
        spot = profile * peak[:, None, None, None] * is_drawn
        lesion = torch.maximum(lesion, spot)
        marked = torch.maximum(marked, (inside & is_drawn).float())
        going_on &= _uniform(count, 0, 1, generator) < MORE_LESIONS
    return lesion, marked


def _places(
    smooth: torch.Tensor,
    first: torch.Tensor | None,
    clustered: torch.Tensor,
    scale: float,
    generator: torch.Generator,
) -> torch.Tensor:
    """Draw places (B, tries, 2), anywhere or, in a cluster, around its first lesion, in px of the crop."""
    count, _, height, width = smooth.shape
    size = torch.tensor([width, height], device=smooth.device) / SUPERSAMPLING
    shape = (count, PLACES_TRIED, 2)
    anywhere = torch.rand(shape, generator=generator, device=smooth.device) * size
    if first is None:
        return anywhere
    apart = torch.randn(shape, generator=generator, device=smooth.device) * CLUSTER_PX * scale
    near = (first[:, None] + apart).clamp(min=0).minimum(size - 1)
    return torch.where(clustered[:, None, None], near, anywhere)


def _first_in_body(
    smooth: torch.Tensor, places: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the first places (B, 2) in the body, the uptake there (B,), and where there is one (B,)."""
    width = smooth.shape[3]
    index = (places * SUPERSAMPLING).long()  # (B, tries, 2)
    there = smooth.flatten(1).gather(1, index[..., 1] * width + index[..., 0])  # (B, tries)
    fits = (there > BODY_UPTAKE[0]) & (there < BODY_UPTAKE[1])
    chosen = fits.float().argmax(dim=1, keepdim=True)
    centre = places.gather(1, chosen[..., None].expand(-1, -1, 2))[:, 0]
    return centre, there.gather(1, chosen)[:, 0], fits.any(dim=1)


def _profile(
    points: torch.Tensor, centre: torch.Tensor, scale: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw how uptake falls from a lesion's centre (B, 2): share of its peak, and where that is marked."""
    count = len(centre)
    spread = torch.randn(count, generator=generator, device=points.device) * RADIUS_SPREAD
    radius = (RADIUS_PX * torch.exp(spread)).clamp(*RADIUS_LIMITS_PX) * scale
    around = points[None] - centre[:, None, None]  # (B, h', w', 2)
    turn = _uniform(count, 0, math.pi, generator)[:, None, None]
    narrow = _uniform(count, NARROWEST, 1, generator).sqrt()[:, None, None]
    x = (around[..., 0] * torch.cos(turn) + around[..., 1] * torch.sin(turn)) * narrow
    y = (around[..., 1] * torch.cos(turn) - around[..., 0] * torch.sin(turn)) / narrow
    distance, angle = torch.hypot(x, y), torch.atan2(y, x)
    rim = torch.ones_like(distance)
    for wave in WAVES:
        height = torch.randn(count, generator=generator, device=points.device) * WAVE_SPREAD / wave
        phase = _uniform(count, 0, 2 * math.pi, generator)
        rim += height[:, None, None] * torch.cos(wave * angle + phase[:, None, None])
    radius = radius[:, None, None]
    soft = _uniform(count, *SOFTNESS_PX, generator)[:, None, None] * scale
    profile = torch.sigmoid((radius * rim.clamp(min=0.3) - distance) / soft) / torch.sigmoid(radius / soft)
    profile = profile.clamp(max=1)[:, None]  # (B, 1, h', w')
    return profile, profile > MARKED_ABOVE


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> torch.Tensor:
    return torch.rand(count, generator=generator, device=generator.device) * (high - low) + low
