"""Folders that may lie in an object store: read, listed and written through PyArrow's file systems."""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from pyarrow import ArrowInvalid
from pyarrow.fs import FileSelector, FileSystem, FileType, LocalFileSystem

from inference.atomic_write import write_atomically
from inference.errors import ScanError


@dataclass(frozen=True)
class StoredFile:
    """A file by its name below the folder, and when it was changed, in nanoseconds since 1970."""

    name: str
    changed_ns: int


class StorageFolder:
    """A folder by its path or its address, such as `s3://bucket/scans` or `file:///mnt/scans`.

    It is the same folder for every machine that reaches it, and may be sent to each.
    """

    def __init__(self, place: str) -> None:
        self.place = place
        try:
            if "://" in place:
                self.system, self.root = FileSystem.from_uri(place)
            else:
                self.system, self.root = LocalFileSystem(), Path(place).resolve().as_posix()
        except (ArrowInvalid, ImportError) as error:
            raise ScanError(f"{place} cannot be reached: {' '.join(str(error).split())}") from None

    @property
    def is_local(self) -> bool:
        """Say whether the folder is one of this machine's, or mounted here."""
        return isinstance(self.system, LocalFileSystem)

    def path(self, name: str) -> Path:
        """Return where a file of a local folder lies."""
        return Path(self.root, name)

    def exists(self) -> bool:
        """Say whether there is such a folder, or file."""
        return bool(self.system.get_file_info(self.root).type != FileType.NotFound)

    def files(self) -> list[StoredFile]:
        """Return all files of the folder and of those below it, sorted; of a file, that one.

        Raises `ScanError` where there is no such folder, `OSError` where it cannot be read.
        """
        info = self.system.get_file_info(self.root)
        if info.type == FileType.NotFound:
            raise ScanError(f"{self.place} does not exist")
        if info.type == FileType.File:
            parent, _, name = self.root.rpartition("/")
            self.root = parent or "/"
            return [StoredFile(name, info.mtime_ns or 0)]
        found = self.system.get_file_info(FileSelector(self.root, recursive=True))
        top = PurePosixPath(self.root)
        files = [
            StoredFile(str(PurePosixPath(file.path).relative_to(top)), file.mtime_ns or 0)
            for file in found
            if file.type == FileType.File
        ]
        return sorted(files, key=lambda file: file.name)

    def read(self, name: str) -> bytes:
        """Return what is in a file; raises `OSError`."""
        with self.system.open_input_stream(self._address(name)) as stream:
            content: bytes = stream.read()
        return content

    def read_if_there(self, name: str) -> bytes | None:
        """Return what is in a file, or None where there is none."""
        return self.read(name) if self.has(name) else None

    def has(self, name: str) -> bool:
        """Say whether there is a file of this name."""
        return bool(self.system.get_file_info(self._address(name)).type == FileType.File)

    def write(self, name: str, content: bytes) -> None:
        """Write a file that is whole or absent; raises `OSError`.

        An object store shows a file once it is complete; a folder is given one under another name first.
        """
        if self.is_local:
            path = self.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(path, content)
            return
        with self.system.open_output_stream(self._address(name)) as stream:
            stream.write(content)

    def delete(self, name: str) -> None:
        """Take a file away."""
        self.system.delete_file(self._address(name))

    def fetch(self, name: str, folder: Path, changed_ns: int) -> Path:
        """Copy a file into a local folder, with the time of its last change, and return where it is."""
        path = folder / PurePosixPath(name).name
        path.write_bytes(self.read(name))
        os.utime(path, ns=(changed_ns, changed_ns))
        return path

    def _address(self, name: str) -> str:
        return f"{self.root.rstrip('/')}/{name}"
