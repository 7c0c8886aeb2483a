"""Phantom volumes as files: NIfTI in any orientation, NumPy arrays, and DICOM PET series."""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import nibabel
import numpy as np
import numpy.typing as npt
from nibabel.orientations import axcodes2ornt, io_orientation, ornt_transform
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, PositronEmissionTomographyImageStorage, generate_uid

from training.phantoms.volumes import PhantomVolume

WEIGHT_KG = 72.0
DOSE_BQ = 260e6
HALF_LIFE_S = 6586.2
INJECTION = datetime(2024, 3, 5, 9, 15)
SCAN = datetime(2024, 3, 5, 10, 17, 30)
BED_S = 120
LARGEST_STORED = 32000
RAS_TO_LPS = np.array([-1.0, -1.0, 1.0])

Change = Callable[[int, Dataset], Dataset | None]
"""What makes of a slice's number and image another image, or none."""


def write_nifti(phantom: PhantomVolume, path: Path, orientation: str = "RAS") -> None:
    """Write a NIfTI file (`.nii` or `.nii.gz`) whose axes point where the three letters say."""
    image = nibabel.Nifti1Image(phantom.suv, phantom.affine)
    turn = ornt_transform(io_orientation(phantom.affine), axcodes2ornt(tuple(orientation)))
    nibabel.save(image.as_reoriented(turn), path)


def write_array(phantom: PhantomVolume, path: Path) -> None:
    """Write a NumPy file of axes (z, y, x): feet to head, front to back, right to left."""
    np.save(path, phantom.suv)


def write_series(phantom: PhantomVolume, folder: Path, change: Change | None = None) -> None:
    """Write a DICOM PET series in Bq/ml, of which each slice has a rescale slope of its own.

    Files are in no order of positions. `change` may spoil an image, or leave it out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uids = {name: str(generate_uid()) for name in ("study", "series", "frame")}
    for index in range(len(phantom.suv)):
        image = make_image(phantom, index, uids)
        changed = image if change is None else change(index, image)
        if changed is not None:
            name = (index * 7919) % 100_003
            changed.save_as(folder / f"{name:06d}.dcm", enforce_file_format=True)


def make_image(phantom: PhantomVolume, index: int, uids: dict[str, str]) -> FileDataset:
    """Return the slice at an index as a DICOM image."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = PositronEmissionTomographyImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    image.SOPClassUID = meta.MediaStorageSOPClassUID
    image.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    _describe_study(image, uids)
    _describe_series(image, len(phantom.suv))
    _describe_times(image, index, len(phantom.suv))
    _describe_plane(image, phantom, index, uids)
    decayed_bq = DOSE_BQ * 2 ** (-(SCAN - INJECTION).total_seconds() / HALF_LIFE_S)
    _store(image, phantom.suv[index] * (decayed_bq / (WEIGHT_KG * 1000)))
    return image


def _describe_study(image: Dataset, uids: dict[str, str]) -> None:
    image.PatientName, image.PatientID = "Phantom^Volume", "PHANTOM-3D"
    image.PatientBirthDate, image.PatientSex = "19700101", "O"
    image.PatientWeight, image.PatientSize = WEIGHT_KG, 1.75
    image.StudyInstanceUID, image.SeriesInstanceUID = uids["study"], uids["series"]
    image.StudyDate, image.StudyTime = f"{SCAN:%Y%m%d}", f"{SCAN:%H%M%S}"
    image.StudyID, image.AccessionNumber, image.ReferringPhysicianName = "1", "A1", ""


def _describe_series(image: Dataset, slices: int) -> None:
    image.Modality, image.SeriesNumber = "PT", 2
    image.Manufacturer, image.Laterality = "Phantoms", ""
    image.SeriesDate, image.SeriesTime = f"{SCAN:%Y%m%d}", f"{SCAN:%H%M%S}"
    image.ImageType = ["ORIGINAL", "PRIMARY"]
    image.SeriesType, image.Units, image.CountsSource = ["WHOLE BODY", "IMAGE"], "BQML", "EMISSION"
    image.CorrectedImage, image.DecayCorrection = ["DECY", "ATTN", "SCAT", "RAN"], "START"
    image.NumberOfSlices, image.CollimatorType = slices, "NONE"
    image.RandomsCorrectionMethod = "DLYD"
    tracer = Dataset()
    tracer.Radiopharmaceutical = "FDG"
    tracer.RadiopharmaceuticalStartTime = f"{INJECTION:%H%M%S}"
    tracer.RadionuclideTotalDose, tracer.RadionuclideHalfLife = DOSE_BQ, HALF_LIFE_S
    tracer.RadionuclidePositronFraction = 0.967
    tracer.RadionuclideCodeSequence = [_code("77004003", "^18^Fluorine")]
    tracer.RadiopharmaceuticalCodeSequence = [_code("35321007", "Fluorodeoxyglucose F^18^")]
    image.RadiopharmaceuticalInformationSequence = [tracer]
    image.PatientOrientationCodeSequence = [_code("102538003", "recumbent")]
    image.PatientOrientationCodeSequence[0].PatientOrientationModifierCodeSequence = [
        _code("40199007", "supine")
    ]
    image.PatientGantryRelationshipCodeSequence = [_code("102540008", "headfirst")]


def _describe_times(image: Dataset, index: int, slices: int) -> None:
    """Beds are scanned one after the other, from the feet up; all are corrected to the first one's start."""
    begun_s = BED_S * (index * 7 // slices)
    begun = SCAN + timedelta(seconds=begun_s)
    image.AcquisitionDate, image.AcquisitionTime = f"{begun:%Y%m%d}", f"{begun:%H%M%S}"
    image.ContentDate, image.ContentTime = image.AcquisitionDate, image.AcquisitionTime
    image.ActualFrameDuration = BED_S * 1000
    image.FrameReferenceTime = (begun_s + BED_S / 2) * 1000
    image.DecayFactor = round(2 ** (begun_s / HALF_LIFE_S), 6)


def _describe_plane(image: Dataset, phantom: PhantomVolume, index: int, uids: dict[str, str]) -> None:
    origin = (phantom.affine @ (index, 0, 0, 1))[:3] * RAS_TO_LPS
    image.FrameOfReferenceUID, image.PositionReferenceIndicator = uids["frame"], ""
    image.ImagePositionPatient = [round(float(value), 4) for value in origin]
    image.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    z, y, x = phantom.spacing_mm
    image.PixelSpacing, image.SliceThickness = [y, x], z
    image.InstanceNumber = image.ImageIndex = index + 1


def _store(image: Dataset, activity: npt.NDArray[np.float32]) -> None:
    slope = float(f"{max(float(activity.max()), 1.0) / LARGEST_STORED:.8g}")
    image.RescaleSlope, image.RescaleIntercept = slope, 0
    image.Rows, image.Columns = activity.shape
    image.SamplesPerPixel, image.PhotometricInterpretation = 1, "MONOCHROME2"
    image.BitsAllocated, image.BitsStored, image.HighBit, image.PixelRepresentation = 16, 16, 15, 1
    image.PixelData = np.rint(activity / slope).astype("<i2").tobytes()


def _code(value: str, meaning: str) -> Dataset:
    code = Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = value, "SCT", meaning
    return code
