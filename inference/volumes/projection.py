"""The maximum of a volume along the anterior-posterior axis."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inference.preparation import FloatMap
from inference.volumes.errors import VolumeError
from inference.volumes.orientation import ANTERIOR, RIGHT, SUPERIOR, body_axes
from inference.volumes.volume import Affine, SlicedVolume

MAX_PLAUSIBLE_SUV = 2000.0
"""A full bladder seldom passes 300; activity in Bq/ml is in the thousands everywhere."""

Depth = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Projection:
    """A MIP in SUV, (H, W) float32: the head is up, the patient's right on the left.

    `depth` (H, W) is the voxel index of the maximum along the axis that was projected.
    `spacing_mm` is (row, column), None where it is unknown. `affine` (4, 4) leads from
    (column, row, depth) to RAS+ mm; `depth_voxels` is how many voxels lie behind a pixel.
    """

    suv: FloatMap
    depth: Depth
    depth_voxels: int
    affine: Affine
    spacing_mm: tuple[float, float] | None


def project(volume: SlicedVolume) -> Projection:
    """Project a volume from front to back, one slice at a time; what is not a number is no uptake.

    Raises `VolumeError` where its values cannot be SUVs.
    """
    ornt = body_axes(volume.affine)
    voxel_axis = {body_axis: axis for axis, body_axis in enumerate(ornt[:, 0])}
    depth_axis = voxel_axis[ANTERIOR]
    kept = [axis for axis in range(3) if axis != depth_axis]
    along_slices = volume.slice_axis == depth_axis
    gather = _across if along_slices else _within
    suv, depth = gather(volume, kept, depth_axis)  # both with the kept axes in order
    if not suv.max(initial=0) <= MAX_PLAUSIBLE_SUV:
        raise VolumeError(
            "not_suv",
            f"the highest value is {suv.max():.4g}, which no SUV is: convert to SUV by body weight",
        )
    rows, columns = voxel_axis[SUPERIOR], voxel_axis[RIGHT]
    if kept.index(rows) == 1:
        suv, depth = suv.T, depth.T
    steps = np.zeros((4, 4))  # from (column, row, depth) to voxel indices
    steps[3, 3] = 1
    steps[depth_axis, 2] = 1
    for image_axis, axis in ((0, columns), (1, rows)):
        # indices that grow towards the head or towards the patient's right are run through backwards
        forwards = ornt[axis, 1] < 0
        steps[axis, image_axis] = 1 if forwards else -1
        steps[axis, 3] = 0 if forwards else volume.shape[axis] - 1
        if not forwards:
            suv, depth = np.flip(suv, axis=1 - image_axis), np.flip(depth, axis=1 - image_axis)
    affine = volume.affine @ steps
    column_mm, row_mm = np.linalg.norm(affine[:3, :2], axis=0).tolist()
    return Projection(
        suv=np.ascontiguousarray(suv),
        depth=np.ascontiguousarray(depth),
        depth_voxels=volume.shape[depth_axis],
        affine=affine,
        spacing_mm=(row_mm, column_mm) if volume.spacing_is_known else None,
    )


def _across(volume: SlicedVolume, kept: list[int], depth_axis: int) -> tuple[FloatMap, Depth]:
    """Project coronal slices: each pixel keeps the highest value so far, and its slice."""
    suv = np.zeros([volume.shape[axis] for axis in kept], dtype=np.float32)
    depth = np.zeros(suv.shape, dtype=np.int16)
    for index, values in enumerate(volume.slices):
        clean = _clean(values)
        higher = clean > suv
        suv[higher] = clean[higher]
        depth[higher] = index
    return suv, depth


def _within(volume: SlicedVolume, kept: list[int], depth_axis: int) -> tuple[FloatMap, Depth]:
    """Project axial or sagittal slices: each becomes a line of the projection."""
    suv = np.zeros([volume.shape[axis] for axis in kept], dtype=np.float32)
    depth = np.zeros(suv.shape, dtype=np.int16)
    in_slice = [axis for axis in range(3) if axis != volume.slice_axis].index(depth_axis)
    slices_are_rows = kept.index(volume.slice_axis) == 0
    for index, values in enumerate(volume.slices):
        clean = _clean(values)
        highest = clean.argmax(axis=in_slice)
        line = np.take_along_axis(clean, np.expand_dims(highest, in_slice), axis=in_slice).squeeze(in_slice)
        place = (index, slice(None)) if slices_are_rows else (slice(None), index)
        suv[place], depth[place] = line, highest
    return suv, depth


def _clean(values: FloatMap) -> FloatMap:
    return np.asarray(np.nan_to_num(values, nan=0.0, posinf=np.inf, neginf=0.0).clip(min=0), dtype=np.float32)
