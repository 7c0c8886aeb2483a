"""One ensemble for a whole process, loaded when the first scan comes."""

import os
from functools import cache
from pathlib import Path
from threading import Lock

import numpy as np

from inference.ensemble import Ensemble, Prediction, load_ensemble
from inference.errors import ScanError
from utils import MIN_SIDE_PX, Scan, decode_image

_loading = Lock()


def predict(scan: Scan | str | os.PathLike[str]) -> Prediction:
    """Segment a scan: a PNG or JPEG file, or an array (H, W) or (H, W, 3) uint8, white being no uptake.

    The first call loads the folds that environment and `.env` name, or those in `models/`; later calls,
    from any thread, use the same. `load_ensemble(settings)` gives an ensemble of one's own.
    Raises `ScanError` for what is no scan, `OSError` where the file cannot be read, and `WeightsError` or
    `SettingsError` where the folds cannot be loaded.
    """
    array = _checked(scan) if isinstance(scan, np.ndarray) else decode_image(Path(scan).read_bytes())
    with _loading:  # two threads at once would load twice
        ensemble = _shared_ensemble()
    return ensemble.predict(array)


@cache
def _shared_ensemble() -> Ensemble:
    return load_ensemble()


def _checked(scan: Scan) -> Scan:
    """Return an array that can be a scan; one of other numbers would get a mask of something else."""
    if scan.dtype != np.uint8:
        raise ScanError(
            f"the scan's dtype is {scan.dtype}, not uint8: bring its greys to 0..255, 255 being none"
        )
    if scan.ndim not in (2, 3) or (scan.ndim == 3 and scan.shape[2] != 3):
        raise ScanError(f"the scan's shape is {scan.shape}: it must be (height, width) or (height, width, 3)")
    if min(scan.shape[:2]) < MIN_SIDE_PX:
        raise ScanError(f"the scan's shape is {scan.shape}: each side must be {MIN_SIDE_PX} px at least")
    return scan
