"""A PET volume that is read slice by slice, so that no more than a slice of it is in memory."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from inference.preparation import FloatMap
from inference.volumes.errors import VolumeError

if TYPE_CHECKING:
    from pydicom import Dataset

MAX_VOXELS = 1_000_000_000
MAX_SIDE = 4096

Affine = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SlicedVolume:
    """A volume of `shape` voxels whose values are SUVs, as slices along `slice_axis`.

    `slices` gives them once, in order, each float32 with the two other axes in order.
    `affine` (4, 4) leads from voxel indices to RAS+ coordinates in mm, as in NIfTI; where the
    spacing is unknown its scale means nothing, and only its directions count. `headers` are those
    of a DICOM series' images, in the order of its slices. `warnings` are sentences for people, of what
    was read otherwise than it is written.
    """

    shape: tuple[int, int, int]
    affine: Affine
    slice_axis: int
    slices: Iterator[FloatMap]
    spacing_is_known: bool = True
    headers: "tuple[Dataset, ...]" = field(default=(), repr=False)
    warnings: tuple[str, ...] = ()


def check_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    """Return a volume's shape without further axes of one, which come last.

    Raises `VolumeError` where it is none, or too large a one.
    """
    while len(shape) > 3 and shape[-1] == 1:
        shape = shape[:-1]
    if len(shape) != 3:
        sides = " x ".join(str(side) for side in shape[:8])
        frames = ": of a dynamic series, give one frame or the mean" if len(shape) == 4 else ""
        raise VolumeError(
            "wrong_shape", f"a PET volume has three axes, and this file has {len(shape)} ({sides}){frames}"
        )
    x, y, z = (int(side) for side in shape)
    if min(x, y, z) < 2:
        raise VolumeError("wrong_shape", f"a volume of {x} x {y} x {z} voxels is no whole body")
    if max(x, y, z) > MAX_SIDE or x * y * z > MAX_VOXELS:
        raise VolumeError(
            "too_large",
            f"the volume has {x} x {y} x {z} voxels, and at most {MAX_SIDE} a side and "
            f"{MAX_VOXELS:,} altogether are read",
        )
    return x, y, z
