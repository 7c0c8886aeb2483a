"""A volume's scan and mask as DICOM: a Secondary Capture of the MIP, and a Segmentation of that.

A mask lies on a projection, in which no pixel has one place in the patient. So it is stored as the
segmentation of the MIP, and the MIP names the images of the series that it was made of.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from inference.errors import ScanError
from inference.findings import Mask
from inference.version import __version__
from inference.volumes.dicom.copied_fields import copy_fields
from inference.volumes.dicom.headers import required
from inference.volumes.lazy_import import IMPORT_LOCK
from inference.volumes.volume_scan import VolumeScan

if TYPE_CHECKING:
    from highdicom.sc import SCImage
    from highdicom.seg import Segmentation
    from pydicom import Dataset

PRODUCT = "Tumor Segmentation API"
PATIENT_ORIENTATION = ("L", "F")
"""Columns run to the patient's left, rows to the feet."""

NAMES = ("PatientName", "ReferringPhysicianName")

SERIES_NUMBERS = (9051, 9052)
"""Of the MIP and of the segmentation: high, so that they stand behind the scanner's own."""


def make_dicom(scan: VolumeScan, mask: Mask, seed: str | None = None) -> "tuple[SCImage, Segmentation]":
    """Return the MIP (Secondary Capture) and the mask (H, W, 3) as a Segmentation of one segment.

    Both belong to the study of the series, with its patient. Their UIDs follow from the seed, which
    tells the series and what segmented it from all others, so that an archive keeps them once; without
    one they are random. Raises `ScanError` where the volume did not come as DICOM.
    """
    if not scan.headers:
        raise ScanError(
            "--dicom-seg needs a DICOM series: a NIfTI or NumPy file names no patient and no study"
        )
    capture = make_capture(scan, seed)
    return capture, make_segmentation(capture, mask, seed)


def fields_left_out(scan: VolumeScan) -> tuple[str, ...]:
    """Return a sentence for each field of a DICOM series that is no valid value, and so is not copied."""
    return copy_fields(scan.headers[0]).warnings if scan.headers else ()


def make_capture(scan: VolumeScan, seed: str | None = None) -> "SCImage":
    """Return the MIP of a DICOM series as a Secondary Capture of its study.

    What `fields_left_out` tells of is left empty. Raises `VolumeError` where the study has no UID.
    """
    with IMPORT_LOCK:
        from highdicom.sc import SCImage

    source = scan.headers[0]
    copied = copy_fields(source)
    texts = copied.texts
    now = datetime.now()
    capture = SCImage(
        pixel_array=scan.grey,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=PATIENT_ORIENTATION,
        pixel_spacing=scan.pixel_mm,
        study_instance_uid=required(source, "StudyInstanceUID"),
        series_instance_uid=_uid(seed, "series of the MIP"),
        series_number=SERIES_NUMBERS[0],
        sop_instance_uid=_uid(seed, "MIP"),
        instance_number=1,
        series_description="PET MIP, coronal",
        content_date=now.date(),
        content_time=now.time(),
        series_date=now.date(),
        series_time=now.time(),
        patient_id=texts["PatientID"],
        patient_birth_date=texts["PatientBirthDate"],
        patient_sex=texts["PatientSex"],
        accession_number=texts["AccessionNumber"],
        study_id=texts["StudyID"],
        study_date=texts["StudyDate"],
        study_time=texts["StudyTime"],
        specific_character_set=copied.character_set,
        **_maker(),
    )
    for name in NAMES:  # which highdicom would quote in a warning where it doubts them
        setattr(capture, name, texts[name])
    capture.SourceImageSequence = [_reference(header) for header in scan.headers if _has_uids(header)]
    capture.ImageComments = f"White is no uptake, black is an SUV of {scan.suv_max:g} or more"
    capture.BurnedInAnnotation = "NO"
    capture.Laterality = ""  # neither side: the whole body
    return capture


def make_segmentation(capture: "Dataset", mask: Mask, seed: str | None = None) -> "Segmentation":
    """Return a mask (H, W, 3) as the Segmentation of a capture, whose pixels need not be there."""
    with IMPORT_LOCK:
        from highdicom import AlgorithmIdentificationSequence
        from highdicom.seg import Segmentation, SegmentDescription
        from pydicom.sr.codedict import codes

    algorithm = AlgorithmIdentificationSequence(
        name=PRODUCT, version=__version__, family=codes.DCM.ArtificialIntelligence
    )
    tumour = SegmentDescription(
        segment_number=1,
        segment_label="Tumour",
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
        segmented_property_type=codes.SCT.Neoplasm,
        algorithm_type="AUTOMATIC",
        algorithm_identification=algorithm,
    )
    with _nameless(capture):
        segmentation = Segmentation(
            source_images=[capture],
            pixel_array=(mask[..., 0] > 0).astype(np.uint8),
            segmentation_type="BINARY",
            segment_descriptions=[tumour],
            series_instance_uid=_uid(seed, "series of the mask"),
            series_number=SERIES_NUMBERS[1],
            sop_instance_uid=_uid(seed, "mask"),
            instance_number=1,
            series_description="Tumour on the PET MIP",
            content_label="TUMOUR",
            omit_empty_frames=False,
            **_maker(),
        )
    for name in NAMES:
        setattr(segmentation, name, capture.get(name))
    segmentation.PatientOrientation = list(PATIENT_ORIENTATION)
    return segmentation


def to_bytes(image: "Dataset") -> bytes:
    """Return an image as the content of its file."""
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _uid(seed: str | None, role: str) -> str:
    with IMPORT_LOCK:
        from pydicom.uid import generate_uid

    return str(generate_uid(entropy_srcs=None if seed is None else [seed, __version__, role]))


def _maker() -> dict[str, Any]:
    return {
        "manufacturer": PRODUCT,
        "manufacturer_model_name": PRODUCT,
        "software_versions": __version__,
        "device_serial_number": "0",
    }


def _reference(header: "Dataset") -> "Dataset":
    with IMPORT_LOCK:
        from pydicom import Dataset

    item = Dataset()
    item.ReferencedSOPClassUID = header.SOPClassUID
    item.ReferencedSOPInstanceUID = header.SOPInstanceUID
    return item


def _has_uids(header: "Dataset") -> bool:
    return bool(header.get("SOPClassUID") and header.get("SOPInstanceUID"))


@contextmanager
def _nameless(capture: "Dataset") -> Iterator[None]:
    """Leave a capture's names empty for a while: highdicom would quote them in warnings."""
    names = {name: capture.get(name) for name in NAMES}
    for name in names:
        setattr(capture, name, None)
    try:
        yield
    finally:
        for name, value in names.items():
            setattr(capture, name, value)
