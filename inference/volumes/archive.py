"""The files of a DICOM series, in a folder, a zip file or in memory: one at a time, and never on a disk."""

import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from inference.volumes.errors import VolumeError

MAX_FILES = 20_000
MAX_FILE_BYTES = 64_000_000
MAX_UNPACKED_BYTES = 1_500_000_000
"""Of all files together; a series of 400 x 400 x 600 voxels has 192 MB."""

Opener = Callable[[], AbstractContextManager[BinaryIO]]


def files_of_folder(folder: Path) -> list[Opener]:
    """Return what opens each file below a folder; hidden files and links are passed over."""
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and not path.name.startswith(".")
    )
    _check_sizes([path.stat().st_size for path in paths])
    return [_opener(path) for path in paths]


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
