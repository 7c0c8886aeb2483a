"""How a file becomes a scan: one reader for each kind of file, told by the name's ending.

Volumes become a scan too, which knows what it was made of: `inference/volumes`.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from loguru import logger

from inference.errors import ScanError
from inference.volumes.options import VolumeOptions
from inference.volumes.reading import SUFFIXES, scan_of_path
from inference.volumes.volume_scan import VolumeScan
from utils import Scan, decode_image

Reader = Callable[[Path], Scan]


def read_picture(path: Path) -> Scan:
    """Read a PNG or JPEG file as an RGB scan (H, W, 3) uint8; raises `ScanError` or `OSError`."""
    return decode_image(path.read_bytes())


READERS: dict[str, Reader] = {".png": read_picture, ".jpg": read_picture, ".jpeg": read_picture}
"""By ending, in small letters; a folder's other files are passed over."""


def ending(path: Path) -> str | None:
    """Return the ending by which a file is known to be a scan or a volume, the longest where several fit."""
    fitting = [known for known in (*READERS, *SUFFIXES) if path.name.lower().endswith(known)]
    return max(fitting, key=len, default=None)


def result_name(path: Path) -> str:
    """Return what the results of a file are named after: its name without the ending."""
    if path.is_dir():
        return path.name
    known = ending(path)
    return path.name[: -len(known)] if known else path.stem


def result_path(listed: str) -> str:
    """Return what the results are named after of a scan that is listed so: the folders in it are kept."""
    path = PurePosixPath(listed)
    return str(path.with_name(result_name(Path(path.name))))


def read_scan(path: Path) -> Scan:
    """Read a scan; a file of an unknown ending is taken for a picture, and judged by its content."""
    return READERS.get(ending(path) or "", read_picture)(path)


@contextmanager
def without_words() -> Iterator[None]:
    """Keep the words of an unforeseen error in reading from all that is told: they may quote a patient.

    Raises `ScanError` in its place; the log has where it was raised, at debug level.
    """
    try:
        yield
    except (ScanError, OSError):
        raise
    except Exception as error:
        frames = "".join(traceback.format_tb(error.__traceback__))
        logger.debug("a scan could not be read, {}:\n{}", type(error).__name__, frames)
        raise ScanError(
            f"the scan could not be read ({type(error).__name__}): its file may be damaged"
        ) from None


def read_volume_scan(path: Path, options: VolumeOptions) -> VolumeScan | None:
    """Read a volume's file or a folder of DICOM files as a scan; None where the file is no volume."""
    if path.is_dir() or ending(path) in SUFFIXES:
        with without_words():
            return scan_of_path(path, options)
    return None


def lies_in_folders(path: Path) -> bool:
    """Say whether a file of a folder is taken for a scan: an archive or an array may be anything else.

    Hidden files are not: macOS leaves some that are called like the scans.
    """
    return ending(path) not in (None, ".zip", ".npy") and not path.name.startswith(".")
