"""NumPy files, `.npy`, whose values are SUVs, and which say nothing of spacing and orientation."""

from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy_format

from inference.errors import shown
from inference.volumes.errors import VolumeError
from inference.volumes.formats.raw_slices import read_slices
from inference.volumes.options import VolumeOptions
from inference.volumes.orientation import DEFAULT_ORIENTATION, affine_of_letters
from inference.volumes.volume import SlicedVolume, check_shape


def read_array(file: BinaryIO, options: VolumeOptions) -> SlicedVolume:
    """Read an array of three axes, which run feet to head, front to back, right to left.

    Another orientation has to be named. Without a spacing a voxel
    is taken for a pixel of the scan, and nothing is measured in mm.
    Raises `VolumeError` where the file is no such array.
    """
    try:
        version = npy_format.read_magic(file)
        read_header = {(1, 0): npy_format.read_array_header_1_0, (2, 0): npy_format.read_array_header_2_0}
        shape, fortran_order, dtype = read_header[version](file)
    except Exception as error:  # a damaged header leads to whatever its text says in Python
        raise VolumeError(
            "unreadable", f"the file is no NumPy array that can be read (its header: {type(error).__name__})"
        ) from None
    if np.dtype(dtype).kind not in "iuf":
        raise VolumeError("unreadable", f"the array holds {shown(str(dtype))}, and not numbers")
    sides = check_shape(_three_axes(shape))
    slice_axis = 2 if fortran_order else 0
    within = sides[:2] if fortran_order else sides[1:]
    slices = read_slices(
        file, count=sides[slice_axis], shape=within, dtype=dtype, fortran_order=fortran_order
    )
    affine = affine_of_letters(
        options.orientation or DEFAULT_ORIENTATION, options.spacing_mm or (1.0, 1.0, 1.0), sides
    )
    return SlicedVolume(sides, affine, slice_axis, slices, options.spacing_mm is not None)


def _three_axes(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without its first axes of one, where there are more than three: a batch, a channel."""
    while len(shape) > 3 and shape[0] == 1:
        shape = shape[1:]
    return shape
