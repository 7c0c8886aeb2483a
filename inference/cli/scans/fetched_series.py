"""A series that came from a PACS, as a scan among others."""

import hashlib
import io
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from inference.cli.scans.readers import without_words
from inference.cli.scans.sources import Source
from inference.volumes.dicom.series import read_series
from inference.volumes.options import VolumeOptions
from inference.volumes.volume_scan import VolumeScan, scan_of_volume

META_BEGINS, META_ENDS = 132, 144
"""Of a DICOM file: where its meta information begins, and from where on its length is counted."""


@dataclass(frozen=True)
class FetchedSeries(Source):
    """A series' images, each a DICOM file's bytes in memory; no file is behind its path."""

    images: tuple[bytes, ...] = field(default=(), repr=False)

    def read_volume(self, options: VolumeOptions) -> VolumeScan:
        """Read the volume; raises `ScanError`."""
        with without_words():
            return scan_of_volume(read_series([partial(io.BytesIO, image) for image in self.images]), options)

    def digest(self) -> str:
        """Return a hash of the images, whatever their order, and whatever the PACS says of itself in them."""
        each = sorted(hashlib.sha256(_dataset(image)).digest() for image in self.images)
        return hashlib.sha256(b"".join(each)).hexdigest()


def fetched_series(series_uid: str, images: tuple[bytes, ...]) -> FetchedSeries:
    """Return a series whose results have a name of their own that gives no identifier away."""
    return FetchedSeries(Path(f"pet_{hashlib.sha256(series_uid.encode()).hexdigest()[:12]}"), images=images)


def _dataset(image: bytes) -> memoryview:
    """Return a DICOM file without its meta information, which names the program that has sent it."""
    begins = 0
    if image[META_BEGINS : META_BEGINS + 4] == b"\x02\x00\x00\x00":  # (0002,0000), the length
        begins = META_ENDS + int.from_bytes(image[META_ENDS - 4 : META_ENDS], "little")
    return memoryview(image)[begins:]
