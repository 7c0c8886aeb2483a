"""The files of a DICOM series, in a folder, a zip file or in memory: one at a time, and never on a disk."""

import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, cast

from inference.volumes.errors import VolumeError

MAX_FILES = 20_000
MOST_WALKED = 10 * MAX_FILES
"""A link may lead to a whole disk."""

MAX_FILE_BYTES = 64_000_000
MAX_UNPACKED_BYTES = 1_500_000_000
"""Of all files together; a series of 400 x 400 x 600 voxels has 192 MB."""

METHODS = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA}
DEFLATE64 = 9
"""As Windows packs what is larger than 2 GB."""

Opener = Callable[[], AbstractContextManager[BinaryIO]]


def files_of_folder(folder: Path) -> list[Opener]:
    """Return what opens each file below a folder, behind links too; hidden files are passed over.

    Raises `VolumeError` where a link leads nowhere: what it stands for is missing.
    """
    paths = list(islice(walk(folder), MOST_WALKED))
    lost = sum(not path.exists() for path in paths)
    if lost:
        raise VolumeError(
            "cut_short",
            f"{lost} of the folder's {len(paths)} files are links that lead nowhere: fetch what they are of",
        )
    _check_sizes([path.stat().st_size for path in paths])
    return [_opener(path) for path in paths]


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder in the order of their names, each once, and links that lead nowhere.

    Links are followed, to folders too, and no folder is walked twice. No more folders are listed than it
    comes to. Hidden files and folders are passed over.
    """
    seen: set[str] = {os.path.realpath(folder)}
    for parent, folders, names in os.walk(folder, followlinks=True):
        below = sorted(name for name in folders if not name.startswith("."))
        folders[:] = [name for name in below if _is_new(os.path.join(parent, name), seen)]
        for path in (Path(parent, name) for name in sorted(names)):
            is_there = path.is_file() or not path.exists()
            if is_there and not path.name.startswith(".") and _is_new(str(path), seen):
                yield path


def _is_new(path: str, seen: set[str]) -> bool:
    real = os.path.realpath(path)
    is_new = real not in seen
    seen.add(real)
    return is_new


@contextmanager
def files_of_zip(file: BinaryIO) -> Iterator[list[Opener]]:
    """Give what opens each file of an archive, as long as that is open.

    What the archive's directory says is judged before anything is unpacked, and nothing is unpacked
    beyond what it says. Names are not looked at: no file is written.
    Raises `VolumeError` where it is no archive, encrypted, or too large when unpacked.
    """
    try:
        archive = zipfile.ZipFile(file)
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise VolumeError("unreadable", "the file is no zip archive that can be read") from None
    with archive:
        members = [member for member in archive.infolist() if not member.filename.endswith("/")]
        _check_sizes([member.file_size for member in members])
        if any(member.flag_bits & 1 for member in members):
            raise VolumeError("unreadable", "the archive is encrypted: send it without a password")
        methods = {member.compress_type for member in members} - METHODS
        if methods:
            method = min(methods)
            raise VolumeError(
                "unreadable",
                f"the archive is packed by a method that is not read here ({method}"
                f"{': Deflate64' if method == DEFLATE64 else ''}): pack it anew as an ordinary zip file",
            )
        yield [_member_opener(archive, member) for member in members]


def files_in_memory(files: Sequence[tuple[BinaryIO, int]]) -> list[Opener]:
    """Return what opens each of some files, given with their sizes, from its beginning."""
    _check_sizes([size for _, size in files])
    return [_rewinder(file) for file, _ in files]


def check_limits(files: int, total_bytes: int, largest_bytes: int) -> None:
    """Raise `VolumeError` where a series has more files or bytes than are read."""
    if files > MAX_FILES:
        raise VolumeError("too_large", f"there are {files} files, and at most {MAX_FILES} are read")
    if largest_bytes > MAX_FILE_BYTES or total_bytes > MAX_UNPACKED_BYTES:
        raise VolumeError(
            "too_large",
            f"the files have {total_bytes / 1e6:.0f} MB, the largest {largest_bytes / 1e6:.0f} MB; at most "
            f"{MAX_UNPACKED_BYTES / 1e6:.0f} MB altogether and {MAX_FILE_BYTES / 1e6:.0f} MB a file are read",
        )


def _check_sizes(sizes: list[int]) -> None:
    check_limits(len(sizes), sum(sizes), max(sizes, default=0))


def _opener(path: Path) -> Opener:
    return lambda: path.open("rb")


def _rewinder(file: BinaryIO) -> Opener:
    @contextmanager
    def rewound() -> Iterator[BinaryIO]:
        file.seek(0)
        yield file

    return rewound


def _member_opener(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Opener:
    return lambda: cast(BinaryIO, archive.open(member))
