"""A volume's scan and mask as DICOM: a Secondary Capture of the MIP, and a Segmentation of that.

A mask lies on a projection, in which no pixel has one place in the patient. So it is stored as the
segmentation of the MIP, and the MIP names the images of the series that it was made of.
"""

import io
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from inference.errors import ScanError
from inference.findings import Mask
from inference.version import __version__
from inference.volumes.lazy_import import IMPORT_LOCK
from inference.volumes.volume_scan import VolumeScan

if TYPE_CHECKING:
    from highdicom.sc import SCImage
    from highdicom.seg import Segmentation
    from pydicom import Dataset

PRODUCT = "Tumor Segmentation API"
PATIENT_ORIENTATION = ("L", "F")
"""Columns run to the patient's left, rows to the feet."""

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


def make_capture(scan: VolumeScan, seed: str | None = None) -> "SCImage":
    """Return the MIP of a DICOM series as a Secondary Capture of its study."""
    with IMPORT_LOCK:
        from highdicom.sc import SCImage

    source = scan.headers[0]
    now = datetime.now()
    capture = SCImage(
        pixel_array=scan.grey,
        photometric_interpretation="MONOCHROME2",
        bits_allocated=8,
        coordinate_system="PATIENT",
        patient_orientation=PATIENT_ORIENTATION,
        pixel_spacing=scan.pixel_mm,
        study_instance_uid=source.StudyInstanceUID,
        series_instance_uid=_uid(seed, "series of the MIP"),
        series_number=SERIES_NUMBERS[0],
        sop_instance_uid=_uid(seed, "MIP"),
        instance_number=1,
        series_description="PET MIP, coronal",
        content_date=now.date(),
        content_time=now.time(),
        series_date=now.date(),
        series_time=now.time(),
        patient_id=_text(source, "PatientID"),
        patient_name=source.get("PatientName"),
        patient_birth_date=_text(source, "PatientBirthDate"),
        patient_sex=source.get("PatientSex") or None,
        accession_number=_text(source, "AccessionNumber"),
        study_id=_text(source, "StudyID"),
        study_date=source.get("StudyDate") or None,
        study_time=source.get("StudyTime") or None,
        referring_physician_name=source.get("ReferringPhysicianName"),
        specific_character_set=source.get("SpecificCharacterSet"),
        **_maker(),
    )
    capture.SourceImageSequence = [_reference(header) for header in scan.headers]
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


def _text(header: "Dataset", field: str) -> str | None:
    value = header.get(field)
    return None if value is None else str(value)
