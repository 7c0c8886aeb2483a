"""What a page takes along to be cut again, so that the service keeps nothing of a scan.

Values of a map below every threshold that can be chosen never change a mask, a lesion or the
classifier's features: they are left out, and a map of megabytes packs to some ten kilobytes.
"""

import base64
import binascii
import zlib

import numpy as np
from pydantic import BaseModel

from inference.ensemble import Prediction
from inference.errors import ScanError
from inference.findings import REGION_LEVEL
from inference.preparation import FloatMap, GreyScan, to_grey
from utils import decode_request, encode_request

LOWEST_THRESHOLD = 0.01
assert LOWEST_THRESHOLD <= REGION_LEVEL

UNREADABLE = (
    "this page's scan cannot be cut again, perhaps because the service has started anew since: "
    "drop the scan once more"
)


class Kept(BaseModel):
    """A segmented scan as text, and what was said of it that no threshold changes."""

    scan: str
    probabilities: str
    views: list[str]
    disagreement: float | None
    warnings: list[str]

    def open(self) -> tuple[GreyScan, FloatMap]:
        """Return the grey scan (H, W) uint8 and its map (H, W) float32 in 0..1.

        Raises `ScanError` where this is no scan and map of one size.
        """
        scan = to_grey(decode_request(self.scan))
        return scan, _unpack(self.probabilities, (scan.shape[0], scan.shape[1]))


def keep(prediction: Prediction, threshold: float) -> Kept:
    """Return what a page needs to cut a prediction again at `LOWEST_THRESHOLD`, at `threshold`, or above."""
    disagreement = prediction.disagreement()
    return Kept(
        scan=encode_request(to_grey(prediction.scan)),
        probabilities=_pack(prediction.probability_map, min(threshold, LOWEST_THRESHOLD)),
        views=list(prediction.views),
        disagreement=None if disagreement is None else round(disagreement, 4),
        warnings=list(prediction.warnings),
    )


def _pack(probability_map: FloatMap, lowest: float) -> str:
    # the highest is kept in any case: without a classifier it is the probability of tumour
    counts = (probability_map >= lowest) | (probability_map == probability_map.max())
    kept = np.where(counts, probability_map, np.float32(0))
    return base64.b64encode(zlib.compress(kept.tobytes(), 1)).decode("ascii")


def _unpack(text: str, size: tuple[int, int]) -> FloatMap:
    length = 4 * size[0] * size[1]
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(base64.b64decode(text, validate=True), length)
    except (binascii.Error, ValueError, zlib.error):
        raise ScanError(UNREADABLE) from None
    if len(data) != length or not unpacking.eof:
        raise ScanError(UNREADABLE)
    probability_map = np.frombuffer(data, dtype=np.float32).reshape(size)  # (H, W)
    if not ((probability_map >= 0) & (probability_map <= 1)).all():
        raise ScanError(UNREADABLE)
    return probability_map
