"""What can be downloaded of a volume beside PNG and JSON: DICOM and NIfTI, as the command line writes them.

To make a Segmentation at another threshold, the page takes the head of the Secondary Capture along,
which names the study and the patient: it comes from the visitor's own series, and goes to nobody else.
"""

import base64
import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, TypeVarTuple

from loguru import logger

from inference.findings import Mask
from inference.volumes.dicom.headers import quiet
from inference.volumes.dicom.writing import make_capture, make_segmentation, to_bytes
from inference.volumes.formats.nifti_writing import mask_file
from inference.volumes.lazy_import import IMPORT_LOCK
from inference.volumes.volume_scan import VolumeScan
from service.page.result_token import SegmentedScan

Given = TypeVarTuple("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Download:
    """A file in a link: what the link says, what kind of file it is, and its name without the scan's."""

    label: str
    kind: str
    name: str
    href: str


@dataclass(frozen=True)
class Capture:
    """A DICOM series' projection as the content of a Secondary Capture, and that without its pixels."""

    whole: bytes
    head: bytes


def capture_of(volume: VolumeScan | None) -> Capture | None:
    """Return the capture of a DICOM series; of another volume, or of headers that give none, None."""
    return None if volume is None or not volume.headers else _made(_capture, volume)


def volume_downloads(segmented: SegmentedScan, mask: Mask) -> list[Download]:
    """Return the mask (H, W, 3) of a volume's scan in the files of its kind; of a picture's, nothing."""
    projected = segmented.evidence.projected
    downloads = []
    segmentation = None if segmented.capture is None else _made(_segmentation, segmented.capture, mask)
    if segmentation is not None:
        downloads.append(dicom_download("Segmentation", "seg.dcm", segmentation))
    if projected is not None and projected.pixel_mm is not None:
        nifti = _download("Mask", "NIfTI", "mask.nii.gz", "application/gzip", mask_file(projected, mask))
        downloads.append(nifti)
    return downloads


def dicom_download(label: str, name: str, content: bytes) -> Download:
    """Return a DICOM file as a link."""
    return _download(label, "DICOM", name, "application/dicom", content)


def _made(make: Callable[[*Given], Made], *given: *Given) -> Made | None:
    """Return what is made of a series' headers, if they allow it: there is a mask without it."""
    try:
        return make(*given)
    except Exception as error:  # odd headers raise whatever their values lead to, and a message may name them
        logger.warning("no DICOM file can be made of a series ({})", type(error).__name__)
        return None


def _capture(volume: VolumeScan) -> Capture:
    image = make_capture(volume)
    whole = to_bytes(image)
    del image.PixelData
    return Capture(whole, to_bytes(image))


def _segmentation(head: bytes, mask: Mask) -> bytes:
    with IMPORT_LOCK:
        from pydicom import dcmread

    quiet()
    return to_bytes(make_segmentation(dcmread(io.BytesIO(head)), mask))


def _download(label: str, kind: str, name: str, media_type: str, content: bytes) -> Download:
    href = f"data:{media_type};base64,{base64.b64encode(content).decode('ascii')}"
    return Download(label, kind, name, href)
