"""Slices of a file that holds a volume's values one after the other."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from inference.preparation import FloatMap
from inference.volumes.errors import VolumeError


def read_slices(
    file: BinaryIO,
    *,
    count: int,
    shape: tuple[int, int],
    dtype: npt.DTypeLike,
    fortran_order: bool,
    slope: float = 1.0,
    intercept: float = 0.0,
) -> Iterator[FloatMap]:
    """Read `count` slices of `shape` from where a file stands: float32, scaled by slope and intercept.

    Raises `VolumeError` where the file ends before its last slice.
    """
    kind = np.dtype(dtype)
    size = shape[0] * shape[1] * kind.itemsize
    for index in range(count):
        data = _read(file, size)
        if len(data) < size:
            raise VolumeError("cut_short", f"the file ends in slice {index + 1} of {count}")
        values = np.frombuffer(data, dtype=kind).reshape(shape, order="F" if fortran_order else "C")
        scaled = values.astype(np.float32)
        if (slope, intercept) != (1.0, 0.0):
            scaled = scaled * np.float32(slope) + np.float32(intercept)
        yield scaled


def _read(file: BinaryIO, size: int) -> bytes:
    try:
        return file.read(size)
    except (OSError, EOFError, ValueError) as error:
        raise VolumeError("cut_short", f"the file is damaged or cut short ({error})") from None
    except Exception as error:  # zlib.error is neither
        raise VolumeError("unreadable", f"the file is damaged ({type(error).__name__})") from None
