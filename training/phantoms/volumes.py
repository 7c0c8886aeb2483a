"""Synthetic PET volumes of which everything is known: SUVs, and each lesion's place, size and uptake."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.preparation import FloatMap
from inference.volumes.grey_scale import PIXEL_MM
from training.phantoms.drawing import ARMS_UP, BODY_UNIT_PX, LEGS, ORGANS, TRUNK, Ellipse

UNIT_MM = BODY_UNIT_PX * PIXEL_MM
"""One body unit of `training/phantoms/drawing.py`; the origin is the top of the head, on the body's axis."""

SOFT_TISSUE_SUV = 0.6
ORGAN_SUVS = {
    "liver": 2.4,
    "spleen": 1.9,
    "mediastinum": 1.6,
    "heart": 9.0,
    "left kidney": 8.0,
    "right kidney": 8.0,
    "bladder": 20.0,
    "brain": 9.0,
}
DEPTH_SHARE = 0.6
"""How deep a part of the body is, as a share of the smaller of its width and height."""


@dataclass(frozen=True)
class Sphere:
    """A lesion: its centre in mm as (left, behind, below) the top of the head, radius in mm, and uptake."""

    centre_mm: tuple[float, float, float]
    radius_mm: float
    suv: float

    @property
    def projected_area_mm2(self) -> float:
        """Return the area of its shadow on any projection, in mm²."""
        return float(np.pi * self.radius_mm**2)


LESIONS = (
    Sphere((70.0, -20.0, 340.0), 16.0, 13.0),
    Sphere((-85.0, 15.0, 380.0), 12.0, 11.0),
    Sphere((-15.0, -10.0, 690.0), 20.0, 15.0),
)


@dataclass(frozen=True)
class PhantomVolume:
    """A PET volume (Z, Y, X) float32 in SUV: index 0 is the feet's end, the front, the patient's right.

    `spacing_mm` is (z, y, x); `affine` (4, 4) leads from (z, y, x) to RAS+ mm.
    """

    suv: npt.NDArray[np.float32]
    spacing_mm: tuple[float, float, float]
    affine: npt.NDArray[np.float64]
    lesions: tuple[Sphere, ...]


def make_volume(
    *,
    shape: tuple[int, int, int] = (190, 56, 110),
    spacing_mm: tuple[float, float, float] = (5.0, 5.0, 4.0),
    lesions: tuple[Sphere, ...] = LESIONS,
) -> PhantomVolume:
    """Return a body of `shape` voxels (z, y, x) with its organs and `lesions`, as it would be scanned.

    A voxel that an edge runs through has a share of the uptake on either side.
    """
    grid = _Grid(shape, spacing_mm)
    suv = np.zeros(shape, dtype=np.float32)  # (Z, Y, X)
    for part in (*TRUNK, *LEGS, *ARMS_UP):
        grid.paint(suv, part, SOFT_TISSUE_SUV)
    for name, (ellipse, _) in ORGANS.items():
        grid.paint(suv, ellipse, ORGAN_SUVS[name])
    for lesion in lesions:
        inside = grid.share_of_sphere(lesion)
        np.maximum(suv, inside * np.float32(lesion.suv), out=suv)
    affine = np.zeros((4, 4))
    affine[2, 0], affine[1, 1], affine[0, 2] = spacing_mm[0], -spacing_mm[1], -spacing_mm[2]
    affine[:, 3] = (-grid.left[0], -grid.behind[0], -grid.below[0], 1)
    return PhantomVolume(suv, spacing_mm, affine, lesions)


class _Grid:
    """The voxels' centres, in mm left of, behind and below the top of the head."""

    def __init__(self, shape: tuple[int, int, int], spacing_mm: tuple[float, float, float]) -> None:
        self.spacing_mm = spacing_mm
        self.below = (shape[0] - 1 - np.arange(shape[0])) * spacing_mm[0]  # (Z,)
        self.behind = (np.arange(shape[1]) - (shape[1] - 1) / 2) * spacing_mm[1]  # (Y,)
        self.left = (np.arange(shape[2]) - (shape[2] - 1) / 2) * spacing_mm[2]  # (X,)

    def paint(self, suv: npt.NDArray[np.float32], ellipse: Ellipse, level: float) -> None:
        x, y, half_width, half_height, angle = ellipse
        turn = np.deg2rad(angle)
        left, below = self.left[None, :] - x * UNIT_MM, self.below[:, None] - y * UNIT_MM
        along = left * np.cos(turn) + below * np.sin(turn)  # (Z, X)
        across = below * np.cos(turn) - left * np.sin(turn)
        flat = (along / half_width) ** 2 + (across / half_height) ** 2
        depth = self.behind / (DEPTH_SHARE * min(half_width, half_height))
        inside = (flat[:, None, :] + depth[None, :, None] ** 2) <= UNIT_MM**2  # (Z, Y, X)
        np.maximum(suv, inside * np.float32(level), out=suv)

    def share_of_sphere(self, sphere: Sphere) -> FloatMap:
        """Return how much of each voxel (Z, Y, X) lies in a sphere, 0..1, by its distance to the surface."""
        left, behind, below = sphere.centre_mm
        offsets = np.meshgrid(self.below - below, self.behind - behind, self.left - left, indexing="ij")
        distance = np.sqrt(sum(offset**2 for offset in offsets))
        towards = np.abs(np.stack(offsets)) / np.maximum(distance, 1e-6)
        width = np.tensordot(self.spacing_mm, towards, axes=1)  # a voxel's extent along the radius
        inside = np.clip((sphere.radius_mm - distance) / np.maximum(width, 1e-6) + 0.5, 0, 1)
        return np.asarray(inside, dtype=np.float32)
