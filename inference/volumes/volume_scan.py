"""A projection as an ordinary scan, and the scan's mask back on the projection."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import cv2
import numpy as np
import numpy.typing as npt

from inference.preparation import FloatMap, GreyScan
from inference.volumes.errors import VolumeError
from inference.volumes.grey_scale import PIXEL_MM
from inference.volumes.options import VolumeOptions
from inference.volumes.projection import Projection, project
from inference.volumes.volume import Affine, SlicedVolume
from utils import MAX_SIDE_PX, MIN_SIDE_PX

if TYPE_CHECKING:
    from pydicom import Dataset


@dataclass(frozen=True)
class Projected:
    """What masks of a volume's scan are measured and placed by, whatever they mark.

    `suv` (h, w) are the projection's own values, before they were resampled to the scan's pixels.
    `pixel_mm` and `affine` are `VolumeScan`'s.
    """

    suv: FloatMap
    pixel_mm: tuple[float, float] | None
    affine: Affine


@dataclass(frozen=True)
class VolumeScan:
    """A scan (H, W) uint8 made of a volume, white being no uptake, and what it was made of.

    `pixel_mm` is the size of its pixels, (row, column), None where the spacing is unknown.
    `affine` (4, 4) leads from (column, row, 0) to RAS+ mm, in the middle of the body's depth.
    `headers` are those of a DICOM series' images, `warnings` the volume's.
    """

    grey: GreyScan
    projection: Projection
    pixel_mm: tuple[float, float] | None
    affine: Affine
    suv_max: float
    headers: "tuple[Dataset, ...]" = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def projected(self) -> Projected:
        """Return what masks of the scan are measured and placed by."""
        return Projected(self.projection.suv, self.pixel_mm, self.affine)


def scan_of_volume(volume: SlicedVolume, options: VolumeOptions) -> VolumeScan:
    """Project a volume, and draw it as the data set's scans are drawn.

    Pixels are `PIXEL_MM` wide and high; where the spacing is unknown, a voxel is a pixel.
    """
    projection = project(volume)
    height, width = projection.suv.shape
    size = (height, width)
    if projection.spacing_mm is not None:
        row_mm, column_mm = projection.spacing_mm
        size = (round(height * row_mm / PIXEL_MM), round(width * column_mm / PIXEL_MM))
    if min(size) < MIN_SIDE_PX or max(size) > MAX_SIDE_PX:
        raise VolumeError(
            "wrong_shape",
            f"the projection has {size[1]} x {size[0]} px of {PIXEL_MM:g} mm, and each side must have from "
            f"{MIN_SIDE_PX} to {MAX_SIDE_PX} px",
        )
    pixel_mm = None
    if projection.spacing_mm is not None:
        pixel_mm = (row_mm * height / size[0], column_mm * width / size[1])
    return VolumeScan(
        grey=draw_suv(resample(projection.suv, size), options.suv_max),
        projection=projection,
        pixel_mm=pixel_mm,
        affine=_scan_affine(projection, size),
        suv_max=options.suv_max,
        headers=volume.headers,
        warnings=volume.warnings,
    )


def draw_suv(suv: FloatMap, suv_max: float) -> GreyScan:
    """Return a map of SUVs as grey uint8: 255 is no uptake, 0 is `suv_max` and more."""
    uptake = np.clip(suv / np.float32(suv_max), 0, 1)
    return np.asarray(np.rint(255 * (1 - uptake)), dtype=np.uint8)


def resample(image: FloatMap, size: tuple[int, int]) -> FloatMap:
    """Resize a map (h, w) to (height, width), each axis by itself: area average downwards, linear upwards."""
    height, width = image.shape
    for target, shrinks in (((width, size[0]), size[0] < height), ((size[1], size[0]), size[1] < width)):
        method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        image = np.asarray(cv2.resize(image, target, interpolation=method), dtype=np.float32)
    return image


def on_projection(mask: npt.NDArray[np.generic], size: tuple[int, int]) -> npt.NDArray[np.int32]:
    """Return a scan's mask or labels (H, W) on a projection's own pixels (h, w), by the nearest."""
    height, width = size
    nearest = cv2.resize(mask.astype(np.int32), (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(nearest)


def _scan_affine(projection: Projection, size: tuple[int, int]) -> Affine:
    """Return what leads from (column, row, 0) of a scan of `size` to RAS+ mm, by the pixels' centres."""
    height, width = projection.suv.shape
    zoom = np.array([width / size[1], height / size[0]])
    steps = np.diag([zoom[0], zoom[1], float(projection.depth_voxels), 1.0])
    steps[:2, 3] = (zoom - 1) / 2
    steps[2, 3] = (projection.depth_voxels - 1) / 2
    return np.asarray(projection.affine @ steps)
