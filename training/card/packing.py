"""A whole data set as one small file, which travels to a machine with a card and is read with NumPy alone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from inference.preparation import GreyScan
from training.scans.dataset import Case, DataError, LabelledScan, find_cases, read_cases


def write_packed(scans: Sequence[LabelledScan], path: Path) -> int:
    """Write scans and labels into one `.npz` and return its size in bytes.

    Each row of a scan is kept as its difference from the row above, modulo 256, which a sixth fewer bytes
    hold; labels are kept bit by bit.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        path,
        names=np.array([scan.case.name for scan in scans]),
        is_patient=np.array([scan.case.is_patient for scan in scans]),
        shapes=np.array([scan.grey.shape for scan in scans]),
        greys=np.concatenate([_differences(scan.grey).ravel() for scan in scans]),
        labels=np.packbits(np.concatenate([scan.label.ravel() for scan in scans])),
    )
    return path.stat().st_size


def read_packed(path: Path) -> list[LabelledScan]:
    """Read what `write_packed` wrote; raises `DataError` where the file is anything else."""
    try:
        with np.load(path) as packed:
            names, is_patient, shapes = packed["names"], packed["is_patient"], packed["shapes"]
            greys, labels = packed["greys"], packed["labels"]
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} is no file that `python -m training pack` wrote ({error})") from None
    ends = np.cumsum(shapes.prod(axis=1))
    bits = np.unpackbits(labels, count=int(ends[-1])).astype(np.bool_)
    scans = []
    for name, has_label, shape, end in zip(names, is_patient, shapes, ends, strict=True):
        height, width = int(shape[0]), int(shape[1])
        part = slice(int(end) - height * width, int(end))
        case = Case(str(name), path, path if has_label else None)
        grey = _sums(greys[part].reshape(height, width))
        scans.append(LabelledScan(case, grey, bits[part].reshape(height, width)))
    return scans


def read_scans(data: Path) -> list[LabelledScan]:
    """Read the scans of a data folder, or of a packed file."""
    return read_packed(data) if data.is_file() else read_cases(find_cases(data))


def _differences(grey: GreyScan) -> npt.NDArray[np.uint8]:
    return np.diff(grey, axis=0, prepend=np.zeros_like(grey[:1]))


def _sums(differences: npt.NDArray[np.uint8]) -> GreyScan:
    return np.cumsum(differences, axis=0, dtype=np.uint8)
