"""Which scans the arguments of `segment` name: files, folders, globs, and standard input."""

import glob
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from inference.cli.readers import ending, read_scan, result_name
from inference.errors import ScanError
from utils import Scan, decode_image

STANDARD_INPUT = "-"
STANDARD_INPUT_NAME = "stdin"
DERIVED = ("_label", "_mask", "_overlay")
"""What a picture's name ends in that belongs to a scan beside it."""


@dataclass(frozen=True)
class Source:
    """A scan to segment, not yet read: a file, or the bytes that standard input brought."""

    path: Path
    content: bytes | None = None

    @property
    def name(self) -> str:
        """Return what the results are named after."""
        return result_name(self.path)

    def read(self) -> Scan:
        """Read the scan; raises `ScanError` or `OSError`."""
        return read_scan(self.path) if self.content is None else decode_image(self.content)

    def changed_s(self) -> float:
        """Return when the scan was last changed, in seconds since the epoch."""
        return self.path.stat().st_mtime if self.content is None else float("inf")


def find_sources(arguments: Sequence[str], standard_input: BinaryIO) -> list[Source]:
    """Return the scans that the arguments name, each once.

    A folder gives the scans that lie in it itself, a glob (`**` is any depth) what it fits; both pass
    over labels, masks and overlays beside their scan. `-` is a scan, or a list of files line by line.
    Raises `ScanError` where an argument names nothing, or two scans' results would have one name.
    """
    found: dict[Path, Source] = {}
    for argument in arguments:
        for source in _find(argument, standard_input):
            found.setdefault(source.path.resolve(), source)
    if not found:
        raise ScanError(f"there is no PNG or JPEG file in {', '.join(arguments)}")
    counts = Counter(source.name for source in found.values())
    twice = sorted(name for name, count in counts.items() if count > 1)
    if twice:
        raise ScanError(
            f"several scans are named {twice[0]}, and so would their masks be: segment them apart, "
            "each with an --out of its own"
        )
    return list(found.values())


def _find(argument: str, standard_input: BinaryIO) -> list[Source]:
    if argument == STANDARD_INPUT:
        return _from(standard_input)
    path = Path(argument)
    if path.is_dir():
        return [Source(scan) for scan in without_derived(path.iterdir())]
    if path.exists():
        return [Source(path)]
    if not glob.has_magic(argument):
        raise ScanError(f"{path} does not exist")
    fitting = [Path(fit) for fit in glob.glob(argument, recursive=True)]
    if not fitting:
        raise ScanError(f"no file fits {argument}")
    return [Source(scan) for scan in without_derived(fit for fit in fitting if fit.is_file())]


def _from(standard_input: BinaryIO) -> list[Source]:
    """Return the one scan that came, or the files that a list names."""
    content = standard_input.read()
    if not content.strip():
        raise ScanError("standard input is empty: send it a scan, or a list of files line by line")
    if b"\0" in content:  # no file's name has one, and every scan
        return [Source(Path(STANDARD_INPUT_NAME), content)]
    return [Source(Path(line)) for line in os.fsdecode(content).splitlines() if line.strip()]


def without_derived(paths: Iterable[Path]) -> list[Path]:
    """Return the scans among files, sorted, without those that belong to a scan beside them."""
    scans = sorted(path for path in paths if ending(path))
    names = {(path.parent, result_name(path)) for path in scans}
    derived = {(folder, name + kind) for folder, name in names for kind in DERIVED}
    return [path for path in scans if (path.parent, result_name(path)) not in derived]
