"""Slices of a file that holds a volume's values one after the other."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from inference.preparation import FloatMap
from inference.volumes.errors import VolumeError

CHUNK_BYTES = 1 << 20
MOST_BEHIND_BYTES = 64_000_000


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

    Raises `VolumeError` where the file ends before its last slice, or, once that has been given, where
    the file's own checksum says that it is damaged.
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
    _read_to_the_end(file)


def _read_to_the_end(file: BinaryIO) -> None:
    """Read what is behind the last slice: only at its end does a packed stream say whether it was whole."""
    left = MOST_BEHIND_BYTES
    while chunk := _read(file, CHUNK_BYTES):
        left -= len(chunk)
        if left < 0:
            raise VolumeError(
                "too_large", f"there are more than {MOST_BEHIND_BYTES / 1e6:.0f} MB behind the last slice"
            )


def _read(file: BinaryIO, size: int) -> bytes:
    try:
        return file.read(size)
    except (OSError, EOFError, ValueError) as error:
        raise VolumeError("cut_short", f"the file is damaged or cut short ({error})") from None
    except Exception as error:  # zlib.error is neither
        raise VolumeError("unreadable", f"the file is damaged ({type(error).__name__})") from None
