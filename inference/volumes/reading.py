"""Which file is read how: the one way in for every kind of volume, as far as the scan that it becomes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from inference.volumes.archive import files_in_memory, files_of_folder, files_of_zip, walk
from inference.volumes.dicom.file_forms import is_dicom
from inference.volumes.dicom.series import read_series
from inference.volumes.errors import VolumeError
from inference.volumes.formats.nifti import read_nifti
from inference.volumes.formats.numpy_array import read_array
from inference.volumes.options import VolumeOptions
from inference.volumes.volume import SlicedVolume
from inference.volumes.volume_scan import VolumeScan, scan_of_volume

LOOKED_AT = 32
"""How many of a folder's files tell whether it is a series: a few of them may be anything else."""

SUFFIXES = (".nii", ".nii.gz", ".npy", ".zip")


def scan_of_path(path: Path, options: VolumeOptions | None = None) -> VolumeScan:
    """Read a volume's file, or a folder of DICOM files, and project it; raises `VolumeError`."""
    chosen = options or VolumeOptions()
    with open_volume(path, chosen) as volume:
        return scan_of_volume(volume, chosen)


def scan_of_file(file: BinaryIO, name: str, options: VolumeOptions | None = None) -> VolumeScan:
    """Read a volume out of an open file whose kind its name says, and project it; raises `VolumeError`."""
    chosen = options or VolumeOptions()
    with read_volume(file, name, chosen) as volume:
        return scan_of_volume(volume, chosen)


def scan_of_series(files: Sequence[tuple[BinaryIO, int]], options: VolumeOptions | None = None) -> VolumeScan:
    """Read a DICOM series out of open files, given with their sizes, and project it; raises `VolumeError`."""
    return scan_of_volume(read_series(files_in_memory(files)), options or VolumeOptions())


def is_volume(name: str) -> bool:
    """Say whether a file of this name is read as a volume."""
    return name.lower().endswith(SUFFIXES)


def holds_series(folder: Path) -> bool:
    """Say whether most of a folder's first files are DICOM files; hidden ones do not count."""
    files = (path for path in walk(folder) if path.is_file() and path.name.upper() != "DICOMDIR")
    looked_at = [_is_dicom(path) for path in islice(files, LOOKED_AT)]
    return 2 * sum(looked_at) > len(looked_at)


def _is_dicom(path: Path) -> bool:
    with path.open("rb") as file:
        return is_dicom(file.read(132))


@contextmanager
def open_volume(path: Path, options: VolumeOptions) -> Iterator[SlicedVolume]:
    """Give the volume of a file, or of a folder of DICOM files, as long as that is open."""
    if path.is_dir():
        yield read_series(files_of_folder(path))
    else:
        with path.open("rb") as file, read_volume(file, path.name, options) as volume:
            yield volume


@contextmanager
def read_volume(file: BinaryIO, name: str, options: VolumeOptions) -> Iterator[SlicedVolume]:
    """Give the volume of an open file, whose kind its name says, as long as that is open.

    Raises `VolumeError` that names what is wrong with it.
    """
    kind = name.lower()
    if kind.endswith(".zip"):
        with files_of_zip(file) as openers:
            yield read_series(openers)
    elif kind.endswith((".nii", ".nii.gz")):
        yield read_nifti(file, options)
    elif kind.endswith(".npy"):
        yield read_array(file, options)
    else:
        raise VolumeError("ambiguous_file", f"a volume's file ends in {', '.join(SUFFIXES)}")
