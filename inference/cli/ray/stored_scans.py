"""Which scans lie in folders and object stores, and how one is read there."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from inference.cli.ray.object_storage import StorageFolder, StoredFile
from inference.cli.scans.readers import result_path
from inference.cli.scans.sources import MADE_BY, STANDARD_INPUT, Source, without_derived
from inference.errors import ScanError
from inference.volumes.options import VolumeOptions
from inference.volumes.volume_scan import VolumeScan
from utils import Scan

SLICE = ".dcm"
"""What the files of a DICOM series are called, by which a folder is known to be one."""


@dataclass(frozen=True)
class StoredScan:
    """A scan to segment: its name below the folder it was found in, and its file, or its series' files."""

    name: str
    store: StorageFolder
    files: tuple[StoredFile, ...]

    @property
    def result(self) -> str:
        """Return what the results are named after: the name without the ending, folders included."""
        if self._is_series:
            return self.name
        return result_path(self.name)

    def read(self, options: VolumeOptions) -> tuple[Scan, VolumeScan | None, str | None]:
        """Return the scan, the volume it was made of, if any, and a hash of the content.

        Raises `ScanError` or `OSError`.
        """
        if self.store.is_local:
            return _read(Source(self.store.path(self.name)), options)
        with TemporaryDirectory() as temporary:
            path = Path(temporary, PurePosixPath(self.name).name)
            folder = path.parent
            if self._is_series:
                path.mkdir()
                folder = path
            for file in self.files:
                self.store.fetch(file.name, folder, file.changed_ns)
            return _read(Source(path), options)

    @property
    def _is_series(self) -> bool:
        return self.files[0].name != self.name


def find_stored_scans(places: Sequence[str]) -> list[StoredScan]:
    """Return the scans of files, folders and addresses, folders to any depth, each once.

    A folder with files in `.dcm` is one volume. Hidden files are passed over, and labels, masks and
    overlays beside their scan, and all of a folder of results. Raises `ScanError` where a place has no
    scan, or two scans' results would have one name; `OSError` where one cannot be listed.
    """
    found: dict[str, StoredScan] = {}
    for place in places:
        if place == STANDARD_INPUT:
            raise ScanError("a Ray cluster reads no standard input: name files, folders or addresses")
        scans = _scans_of(StorageFolder(place))
        if not scans:
            raise ScanError(f"there is no PNG, JPEG, NIfTI or DICOM file in {place}")
        for scan in scans:
            other = found.setdefault(scan.result, scan)
            if other is not scan:
                raise ScanError(
                    f"{other.name} in {other.store.place} and {scan.name} in {place} would both have the "
                    f"mask {scan.result}_mask.png: segment them apart, each with an --out of its own"
                )
    return list(found.values())


def _scans_of(store: StorageFolder) -> list[StoredScan]:
    files = {file.name: file for file in store.files()}
    results = {_folder(name) for name in files if PurePosixPath(name).name == MADE_BY}
    seen = [
        name
        for name in files
        if not any(part.startswith(".") for part in PurePosixPath(name).parts)
        and not any(_lies_in(name, folder) for folder in results)
    ]
    series: dict[str, list[StoredFile]] = {}
    for name in seen:
        if name.lower().endswith(SLICE):
            series.setdefault(_folder(name), []).append(files[name])
    alone = without_derived(Path(name) for name in seen if _folder(name) not in series)
    volumes = [StoredScan(_series_name(store, folder), store, tuple(of)) for folder, of in series.items()]
    return volumes + [StoredScan(path.as_posix(), store, (files[path.as_posix()],)) for path in alone]


def _series_name(store: StorageFolder, folder: str) -> str:
    """Return the name of a series: its folder's, be that the one that was named itself."""
    if folder:
        return folder
    raise ScanError(f"{store.place} is a DICOM series itself: name the folder that it lies in")


def _folder(name: str) -> str:
    parent = str(PurePosixPath(name).parent)
    return "" if parent == "." else parent


def _lies_in(name: str, folder: str) -> bool:
    return not folder or name.startswith(f"{folder}/")


def _read(source: Source, options: VolumeOptions) -> tuple[Scan, VolumeScan | None, str | None]:
    digest = source.digest()
    volume = source.read_volume(options)
    return (source.read() if volume is None else volume.grey), volume, digest
