"""The headers of a DICOM PET series: which files belong to it, and whether it is whole."""

import logging
import warnings
import zipfile
import zlib
from collections.abc import MutableSequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from inference.errors import shown
from inference.volumes.archive import Opener
from inference.volumes.dicom.file_forms import in_usual_form
from inference.volumes.errors import VolumeError
from inference.volumes.lazy_import import IMPORT_LOCK

if TYPE_CHECKING:
    from pydicom import Dataset

PIXEL_DATA_TAG = b"\xe0\x7f\x10\x00"
MOST_NAMED = 4
PET_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.128"
ENHANCED_PET_STORAGE = {"1.2.840.10008.5.1.4.1.1.130", "1.2.840.10008.5.1.4.1.1.128.1"}
CHUNK_BYTES = 1 << 20
DAMAGED = (zipfile.BadZipFile, zlib.error, OSError, EOFError)

FIELDS = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID"),
    *("Modality", "SeriesNumber", "InstanceNumber", "NumberOfSlices", "NumberOfFrames"),
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientWeight", "PatientSize"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    *("SeriesDate", "SeriesTime", "AcquisitionDate", "AcquisitionTime", "ActualFrameDuration"),
    *("AcquisitionDateTime", "TimezoneOffsetFromUTC"),
    *("FrameReferenceTime", "DecayCorrection", "CorrectedImage", "Units", "SUVType"),
    *("RadiopharmaceuticalInformationSequence", "ImagePositionPatient", "ImageOrientationPatient"),
    *("PixelSpacing", "Rows", "Columns", "BitsAllocated", "PixelRepresentation"),
    *("RescaleSlope", "RescaleIntercept", "SpecificCharacterSet", "SpacingBetweenSlices", "SliceThickness"),
)
PRIVATE_FIELDS = (0x00090010, 0x0009100D, 0x70530010, 0x70531000, 0x70531009)
"""Those of GE and Philips that `suv.py` reads."""


@dataclass(frozen=True)
class DicomFile:
    """A DICOM file: its header without pixels, what opens it, and where its pixels begin.

    `pixels_at` is the byte at which the values of an uncompressed image begin, None of any other.
    """

    header: "Dataset"
    open: Opener
    pixels_at: int | None


def read_headers(openers: list[Opener]) -> list[DicomFile]:
    """Read the headers of the images among some files; what is no DICOM file is passed over.

    Raises `VolumeError` where there is no image, or they are not those of one PET series.
    """
    quiet()
    usual = map(in_usual_form, openers)
    read = [file for opener in usual if (file := _read_header(opener)) is not None]
    files = [file for file in read if "SOPClassUID" in file.header and "Rows" in file.header]
    if not files:
        kinds = sorted({str(value_of(file.header, "Modality") or "none")[:16] for file in read})
        others = f", but {len(read)} other files of DICOM (modality {', '.join(kinds[:4])})" if read else ""
        raise VolumeError("unreadable", f"there is no DICOM image among the files{others}")
    modalities = sorted({str(value_of(file.header, "Modality") or "none") for file in files})
    classes = {str(value_of(file.header, "SOPClassUID")) for file in files}
    if modalities == ["PT"] and classes != {PET_IMAGE_STORAGE}:
        raise VolumeError("wrong_modality", _other_class(classes - {PET_IMAGE_STORAGE}))
    if "PT" not in modalities:
        raise VolumeError("wrong_modality", f"the images' modality is {shown(modalities[0])}, and not PT")
    series = {str(value_of(file.header, "SeriesInstanceUID")) for file in files}
    if len(series) > 1:
        raise VolumeError(
            "mixed_series",
            f"there are {len(series)} series (modalities {', '.join(map(shown, modalities[:MOST_NAMED]))}): "
            "give one PET series",
        )
    return files


def _other_class(classes: set[str]) -> str:
    with IMPORT_LOCK:
        from pydicom.uid import UID

    name = UID(min(classes)).name[:60]
    if classes & ENHANCED_PET_STORAGE:
        return (
            f"the images are of the kind {name}, with all slices in a file: export them as classic PET Image "
            "Storage, a slice a file"
        )
    return f"the images are of the kind {name}, and not PET Image Storage with its slice a file"


def required(header: "Dataset", field: str) -> Any:
    """Return a field of an image's header; raises `VolumeError` that names it where it is missing."""
    value = value_of(header, field)
    if value is None or str(value).strip() == "":
        raise VolumeError("missing_field", f"the header has no {field}")
    return value


def value_of(header: "Dataset", field: str) -> Any:
    """Return a field of an image's header, None where it has none.

    Raises `VolumeError` that names the field where its bytes are not what its kind of value is made of:
    they are looked at no sooner than here, and a library's own error would quote them.
    """
    value = _read_value(header, field)
    if isinstance(value, MutableSequence) and any(hasattr(part, "walk") for part in value):
        raise VolumeError("unreadable", f"the header's {field} is a sequence, and not a value")
    return value


def items_of(header: "Dataset", field: str) -> "list[Dataset]":
    """Return the items of a sequence in an image's header; raises `VolumeError` where it is none."""
    items = _read_value(header, field) or []
    if not (isinstance(items, MutableSequence) and all(hasattr(item, "walk") for item in items)):
        raise VolumeError("unreadable", f"the header's {field} is no sequence")
    return list(items)


def _read_value(header: "Dataset", field: str) -> Any:
    try:
        return header.get(field)
    except Exception:
        raise VolumeError("unreadable", f"the header's {field} cannot be read") from None


def quiet() -> None:
    """Keep pydicom and highdicom from warning of a header's values, and from logging them: a patient's."""
    with IMPORT_LOCK:
        from pydicom import config

    config.settings.reading_validation_mode = config.IGNORE
    for library in ("pydicom", "highdicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
        warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")


def damaged(header: "Dataset | None" = None) -> VolumeError:
    """Return what is said of a file that ends too early, or whose archive's checksum is another."""
    number = "" if header is None else str(value_of(header, "InstanceNumber") or "")
    which = f"image {number[:8]} of the series" if number.isdecimal() else "a file of the series"
    return VolumeError("cut_short", f"{which} is damaged or cut short: copy or export it again")


def read_to_the_end(file: BinaryIO) -> None:
    """Read what is left of a file: a zip archive compares its checksum at the end of each."""
    while file.read(CHUNK_BYTES):
        pass


def _read_header(opener: Opener) -> DicomFile | None:
    with IMPORT_LOCK:
        from pydicom import dcmread
        from pydicom.datadict import tag_for_keyword
        from pydicom.errors import InvalidDicomError

    tags = [tag for field in FIELDS if (tag := tag_for_keyword(field)) is not None]
    try:
        with opener() as file:
            try:
                header = dcmread(file, stop_before_pixels=True, specific_tags=[*tags, *PRIVATE_FIELDS])
            except InvalidDicomError:
                read_to_the_end(file)  # so that a damaged image is told from what is none
                raise
            pixels_at = _pixels_at(file, header)
    except InvalidDicomError:
        return None
    except VolumeError:
        raise
    except DAMAGED:
        raise damaged() from None
    except Exception as error:  # a damaged header raises whatever its values lead to
        raise VolumeError("unreadable", f"a file's header is damaged ({type(error).__name__})") from None
    return DicomFile(header, opener, pixels_at)


def _pixels_at(file: BinaryIO, header: "Dataset") -> int | None:
    """Return where the values begin of a file that stands before them; None where they are packed."""
    with IMPORT_LOCK:
        from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

    syntax = header.file_meta.get("TransferSyntaxUID")
    lengths = {ExplicitVRLittleEndian: 12, ImplicitVRLittleEndian: 8}  # of what stands before the values
    if syntax not in lengths or header.get("BitsAllocated") != 16:
        return None
    at = file.tell()
    if file.read(4) != PIXEL_DATA_TAG:
        return None
    return at + lengths[syntax]
