"""What a page takes along to be cut again, so that the service keeps nothing of a scan.

Values of a map below every threshold that can be chosen never change a mask, a lesion or the
classifier's features, nor do the SUVs of a volume there: they are left out, and a map of megabytes
packs to some ten kilobytes.
"""

import base64
import binascii
import zlib
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from inference.errors import ScanError
from inference.findings import REGION_LEVEL
from inference.preparation import FloatMap, GreyScan, to_grey
from inference.report.description import Evidence
from inference.volumes.measurement import measured_pixels
from inference.volumes.volume import MAX_SIDE
from inference.volumes.volume_scan import Projected
from utils import decode_request, encode_request

LOWEST_THRESHOLD = 0.01
assert LOWEST_THRESHOLD <= REGION_LEVEL

UNREADABLE = (
    "this page's scan cannot be cut again, perhaps because the service has started anew since: "
    "drop the scan once more"
)

Side = Annotated[int, Field(ge=1, le=MAX_SIDE)]
Line = tuple[float, float, float, float]


@dataclass(frozen=True)
class SegmentedScan:
    """A segmented scan (H, W), to be cut at any threshold.

    `capture` is the head of its DICOM file, where it was made of a series.
    """

    scan: GreyScan
    evidence: Evidence
    capture: bytes | None = None


class VolumeToken(BaseModel):
    """As text, what masks of a volume's scan are measured and placed by."""

    size: tuple[Side, Side]
    suv: str
    pixel_mm: tuple[float, float] | None
    affine: tuple[Line, Line, Line, Line]
    capture: str | None

    def open(self) -> Projected:
        """Return it as it was kept; raises `ScanError` where it is none of a projection's."""
        return Projected(_unpack_map(self.suv, self.size), self.pixel_mm, np.array(self.affine))


class ResultToken(BaseModel):
    """A segmented scan as text, and what was said of it that no threshold changes."""

    scan: str
    probabilities: str
    views: list[str]
    disagreement: float | None
    warnings: list[str]
    volume: VolumeToken | None = None

    def open(self) -> SegmentedScan:
        """Return what was kept; raises `ScanError` where scan and map are not of one size."""
        scan = to_grey(decode_request(self.scan))
        probability_map = _unpack_map(self.probabilities, (scan.shape[0], scan.shape[1]))
        if not (probability_map <= 1).all():
            raise ScanError(UNREADABLE)
        evidence = Evidence(
            probability_map,
            tuple(self.views),
            self.disagreement,
            tuple(self.warnings),
            None if self.volume is None else self.volume.open(),
        )
        packed = None if self.volume is None else self.volume.capture
        return SegmentedScan(scan, evidence, None if packed is None else _unpack(packed))


def make_token(segmented: SegmentedScan, threshold: float) -> ResultToken:
    """Return what a page needs to cut a scan again at `LOWEST_THRESHOLD`, at `threshold`, or above."""
    evidence = segmented.evidence
    probability_map = evidence.probability_map
    can_be_tumour = probability_map >= min(threshold, LOWEST_THRESHOLD)
    # the highest is kept in any case: without a classifier it is the probability of tumour
    counts = can_be_tumour | (probability_map == probability_map.max())
    return ResultToken(
        scan=encode_request(segmented.scan),
        probabilities=_pack_map(probability_map, counts),
        views=list(evidence.views),
        disagreement=evidence.disagreement,
        warnings=list(evidence.warnings),
        volume=_volume_token(evidence.projected, can_be_tumour, segmented.capture),
    )


def _volume_token(
    projected: Projected | None, can_be_tumour: npt.NDArray[np.bool_], capture: bytes | None
) -> VolumeToken | None:
    if projected is None:
        return None
    size = (projected.suv.shape[0], projected.suv.shape[1])
    return VolumeToken(
        size=size,
        suv=_pack_map(projected.suv, measured_pixels(can_be_tumour, size)),
        pixel_mm=projected.pixel_mm,
        affine=projected.affine.tolist(),
        capture=None if capture is None else _pack(capture),
    )


def _pack_map(values: FloatMap, counts: npt.NDArray[np.bool_]) -> str:
    """Return the values (H, W) that count, and nothing in the others' places."""
    return _pack(np.where(counts, values, np.float32(0)).tobytes())


def _unpack_map(text: str, size: tuple[int, int]) -> FloatMap:
    data = _unpack(text, 4 * size[0] * size[1])
    if len(data) != 4 * size[0] * size[1]:
        raise ScanError(UNREADABLE)
    values = np.frombuffer(data, dtype=np.float32).reshape(size)  # (H, W)
    if not ((values >= 0) & (values < np.inf)).all():
        raise ScanError(UNREADABLE)
    return values


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 1)).decode("ascii")


def _unpack(text: str, most: int = 1 << 24) -> bytes:
    """Return what was packed, of at most so many bytes; raises `ScanError` where it is more, or damaged."""
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(base64.b64decode(text, validate=True), most)
    except (binascii.Error, ValueError, zlib.error):
        raise ScanError(UNREADABLE) from None
    if not unpacking.eof:
        raise ScanError(UNREADABLE)
    return data
