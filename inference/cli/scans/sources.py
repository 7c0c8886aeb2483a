"""Which scans the arguments of `segment` name: files, folders, globs, and standard input."""

import codecs
import glob
import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from inference.cli.scans.readers import lies_in_folders, read_scan, read_volume_scan, result_name
from inference.errors import ScanError
from inference.volumes.archive import walk
from inference.volumes.options import VolumeOptions
from inference.volumes.reading import holds_series
from inference.volumes.volume_scan import VolumeScan
from utils import Scan, decode_image

STANDARD_INPUT = "-"
STANDARD_INPUT_NAME = "stdin"
DERIVED = ("_label", "_mask", "_overlay")
"""What a picture's name ends in that belongs to a scan beside it."""

MADE_BY = "made_by.json"
"""The file by which a folder of results is known."""

RESULTS = ("_mask", "_overlay")
"""What a picture's name ends in that a folder of results has of a scan, wherever that is."""

SIGNATURES = (b"\x89PNG", b"\xff\xd8\xff", b"\x1f\x8b", b"PK\x03\x04")
"""What PNG, JPEG, gzip and zip files begin with."""

WIDE_ENCODINGS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
"""By the mark that a list begins with, the longest first."""

WIDE_SHARE = 0.4
"""Of its pairs of bytes so many have a NUL, always on one side: no list with NUL between names has."""

HEAD_BYTES = 1024
"""Of a DICOM file: its beginning, in which the image's own identifier stands."""


@dataclass(frozen=True)
class Source:
    """A scan to segment, not yet read: a file, a folder of a DICOM series, or standard input's bytes.

    `folder` is where its results go below the folder of all results.
    """

    path: Path
    content: bytes | None = None
    folder: str = ""

    @property
    def listed(self) -> str:
        """Return what the scan is called in the findings."""
        return str(PurePosixPath(self.folder, self.path.name))

    @property
    def name(self) -> str:
        """Return what the results are named after."""
        return str(PurePosixPath(self.folder, result_name(self.path)))

    def read(self) -> Scan:
        """Read the scan; raises `ScanError` or `OSError`."""
        return read_scan(self.path) if self.content is None else decode_image(self.content)

    def read_volume(self, options: VolumeOptions) -> VolumeScan | None:
        """Read the volume, where it is one; raises `ScanError` or `OSError`."""
        return read_volume_scan(self.path, options) if self.content is None else None

    def digest(self) -> str | None:
        """Return a hash of the content, or None where that can be read only once, or not at all.

        Of a folder, it is one of what its files are called, how they begin, how large they are, and when
        they were changed. Raises `OSError`.
        """
        if self.content is not None:
            return hashlib.sha256(self.content).hexdigest()
        if self.path.is_dir():
            files = sorted(file for file in walk(self.path) if file.is_file())
            return hashlib.sha256(repr([self._glance(file) for file in files]).encode()).hexdigest()
        if not self.path.is_file():
            return None
        with self.path.open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()

    def _glance(self, file: Path) -> tuple[str, int, int, bytes]:
        with file.open("rb") as opened:
            stat = os.fstat(opened.fileno())
            head = opened.read(HEAD_BYTES)
        return file.relative_to(self.path).as_posix(), stat.st_size, stat.st_mtime_ns, head


def find_sources(arguments: Sequence[str], standard_input: Callable[[], bytes]) -> list[Source]:
    """Return the scans that the arguments name, each once.

    A folder of DICOM files is one volume; another gives the scans that lie in it itself, and a glob
    (`**` is any depth) what it fits; both pass over hidden files, labels, masks and overlays beside their
    scan, and masks and overlays in a folder of results. `-` is a scan, or a list of files line by line or
    with NUL between them; `standard_input` is called for it alone. Where scans of several folders have one
    name, the results of all keep the folders below the one that they have in common.
    Raises `ScanError` where an argument names nothing, or two scans' results would have one name.
    """
    found: dict[Path, Source] = {}
    for argument in arguments:
        for source in _find(argument, standard_input):
            found.setdefault(source.path.resolve(), source)
    if not found:
        raise ScanError(f"there is no PNG, JPEG, NIfTI or DICOM file in {', '.join(arguments)}")
    sources = _apart(list(found.values()))
    paths: dict[str, Path] = {}
    for source in sources:
        if source.name in paths:
            raise ScanError(
                f"{paths[source.name]} and {source.path} would both have the mask {source.name}_mask.png: "
                "segment them apart, each with an --out of its own"
            )
        paths[source.name] = source.path
    return sources


def _apart(sources: list[Source]) -> list[Source]:
    """Return the scans with their folders, where names alone would not tell them apart."""
    if len({source.name for source in sources}) == len(sources):
        return sources
    parents = [Path(os.path.abspath(source.path)).parent for source in sources]
    common = os.path.commonpath(parents)
    return [
        replace(source, folder=parent.relative_to(common).as_posix())
        for source, parent in zip(sources, parents, strict=True)
    ]


def _find(argument: str, standard_input: Callable[[], bytes]) -> list[Source]:
    if argument == STANDARD_INPUT:
        return _from(standard_input())
    path = Path(argument)
    if path.is_dir() and holds_series(path):
        return [Source(path if path.name else path.resolve())]
    if path.is_dir():
        return [Source(scan) for scan in without_derived(file for file in path.iterdir() if file.is_file())]
    if path.exists():
        return [Source(path)]
    if not glob.has_magic(argument):
        raise ScanError(f"{path} does not exist")
    fitting = [Path(fit) for fit in glob.glob(_escaped(path), recursive=True)]
    if not fitting:
        raise ScanError(f"no file fits {argument}")
    return [Source(scan) for scan in without_derived(fit for fit in fitting if fit.is_file())]


def _escaped(pattern: Path) -> str:
    """Return a pattern in which brackets are names where such a folder is there: `scans [1]/*.png`."""
    known = Path(pattern.anchor)
    parts = pattern.parts[1:] if pattern.anchor else pattern.parts
    for number, part in enumerate(parts):
        if not (known / part).is_dir():
            return str(Path(glob.escape(str(known)), *parts[number:]))
        known /= part
    return glob.escape(str(known))


def _from(content: bytes) -> list[Source]:
    """Return the one scan that came, or the files that a list names."""
    if not content.strip():
        raise ScanError("standard input is empty: send it a scan, or a list of files line by line")
    encoding = None if content.startswith(SIGNATURES) else _wide_encoding(content)
    if encoding is None and (content.startswith(SIGNATURES) or b"\0\0" in content):
        return [Source(Path(STANDARD_INPUT_NAME), content)]  # no list names a file without a name
    try:
        listed = content.decode(encoding) if encoding else os.fsdecode(content.removeprefix(codecs.BOM_UTF8))
    except UnicodeDecodeError:
        raise ScanError(
            f"the list on standard input seems to be in {encoding}, and is damaged: write it in UTF-8"
        ) from None
    listed = listed.removeprefix("\ufeff")
    names = listed.split("\0") if "\0" in listed else listed.splitlines()
    return [Source(Path(name)) for name in names if name.strip()]


def _wide_encoding(content: bytes) -> str | None:
    """Return the encoding of a list of several bytes a sign, as Windows writes it; None of any other."""
    for mark, encoding in WIDE_ENCODINGS:
        if content.startswith(mark):
            return encoding
    pairs, low, high = len(content) // 2, content[::2].count(0), content[1::2].count(0)
    if low == 0 and high > WIDE_SHARE * pairs:
        return "utf-16-le"
    if high == 0 and low > WIDE_SHARE * pairs:
        return "utf-16-be"
    return None


def without_derived(paths: Iterable[Path]) -> list[Path]:
    """Return the scans among files, sorted, without those that belong to a scan, there or elsewhere."""
    scans = sorted(path for path in paths if lies_in_folders(path))
    results = {folder for folder in {path.parent for path in scans} if _holds_results(folder)}
    scans = [p for p in scans if p.parent not in results or not result_name(p).endswith(RESULTS)]
    names = {(path.parent, result_name(path)) for path in scans}
    derived = {(folder, name + kind) for folder, name in names for kind in DERIVED}
    return [path for path in scans if (path.parent, result_name(path)) not in derived]


def _holds_results(folder: Path) -> bool:
    """Say whether a folder is one of results, or lies in one, which keeps folders of scans of one name."""
    return any((above / MADE_BY).exists() for above in (folder, *folder.parents))
