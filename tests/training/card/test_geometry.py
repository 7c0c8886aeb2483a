import math

import cv2
import numpy as np
import torch

from tests.training.card.conftest import UNCHANGED
from training.card.geometry import (
    SUPERSAMPLING,
    bend,
    crop_points,
    draw_affine,
    sample,
    scan_points,
    to_pixels,
)
from training.fitting.changes import STRONG
from training.phantoms.drawing import make_phantom

CPU = torch.device("cpu")


def test_a_turned_and_zoomed_crop_is_what_opencv_makes_of_it() -> None:
    uptake = (255 - make_phantom(3).grey).astype(np.float32) / 255
    height, width = uptake.shape
    angle, zoom = math.radians(9), 1.2
    turned = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]) / zoom
    centre, shift = np.array([width / 2, height / 2]), np.array([5.0, -7.0])
    points = scan_points(
        crop_points((height // 32 * 32, width // 32 * 32), CPU),
        corners=torch.zeros(1, 2),
        centres=torch.from_numpy(centre).float()[None],
        maps=torch.from_numpy(turned).float()[None],
        shifts=torch.from_numpy(shift).float()[None],
        scale=1.0,
    )
    found = to_pixels(sample(torch.from_numpy(uptake)[None, None], points))[0, 0].numpy()
    # OpenCV counts from the centre of the first pixel, which is half a pixel from its corner
    offset = centre + shift - turned @ centre + turned @ np.array([0.5, 0.5]) - 0.5
    wanted = cv2.warpAffine(
        uptake,
        np.hstack([turned, offset[:, None]]),
        (found.shape[1], found.shape[0]),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    assert np.abs(found - wanted).mean() < 0.005
    assert np.corrcoef(found.ravel(), wanted.ravel())[0, 1] > 0.995


def test_maps_stay_within_what_they_are_allowed() -> None:
    generator = torch.Generator().manual_seed(0)
    maps, shifts = draw_affine(2000, STRONG, 400.0, generator)
    areas = torch.linalg.det(maps).abs()
    low, high = STRONG.scale
    assert 1 / high**2 < float(areas.min()) < 1 / high**1.5
    assert 1 / low**1.5 < float(areas.max()) < 1 / low**2 * 1.001
    mirrored = (torch.linalg.det(maps) < 0).float().mean()
    assert 0.45 < float(mirrored) < 0.55
    assert float(shifts.abs().max()) <= STRONG.shift * 400
    still = (areas - 1).abs() < 1e-6
    assert 1 - STRONG.affine_p - 0.04 < float(still.float().mean()) < 1 - STRONG.affine_p + 0.04
    assert not shifts[still].any()


def test_what_is_not_moved_is_at_most_mirrored() -> None:
    maps, shifts = draw_affine(100, UNCHANGED, 400.0, torch.Generator().manual_seed(0))
    assert torch.equal(maps.abs(), torch.eye(2).expand(100, 2, 2))
    assert not shifts.any()


def test_bending_is_smooth_and_comes_to_a_share_of_the_scans() -> None:
    points = crop_points((64, 64), CPU).expand(400, -1, -1, -1)
    moved = (bend(points, 0.3, torch.Generator().manual_seed(0)) - points).norm(dim=-1)  # (B, h', w')
    bent = moved.amax((1, 2)) > 0
    assert 0.22 < float(bent.float().mean()) < 0.38
    assert 0.5 < float(moved[bent].mean()) < 3
    steps = moved[bent].diff(dim=1).abs()
    assert float(steps.max()) < 0.6 / SUPERSAMPLING
