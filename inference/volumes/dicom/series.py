"""A DICOM PET series as a volume: slices in the order of their positions, values in SUV."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from inference.preparation import FloatMap
from inference.volumes.archive import Opener
from inference.volumes.dicom.headers import (
    DAMAGED,
    DicomFile,
    damaged,
    read_headers,
    read_to_the_end,
    required,
    value_of,
)
from inference.volumes.dicom.suv import suv_scale
from inference.volumes.errors import VolumeError
from inference.volumes.lazy_import import IMPORT_LOCK
from inference.volumes.volume import Affine, SlicedVolume, check_shape

if TYPE_CHECKING:
    from pydicom import Dataset

LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
SAME_PLACE_MM = 0.01
UNEVEN = 0.1
"""By which share of their distance slices may lie off an even grid: headers are rounded."""


def read_series(openers: list[Opener]) -> SlicedVolume:
    """Read a PET series of which each file is a slice: headers at once, pixels as they are asked for.

    The volume's axes are (slice, row, column). Raises `VolumeError` where files are of several
    series or of another modality, a slice is missing or twice there, a field that SUV or geometry
    needs is missing, or the values have no SUV.
    """
    files = read_headers(openers)
    first = files[0].header
    rows, columns = (int(_one(files, side, 1)[0]) for side in ("Rows", "Columns"))
    orientation, spacing = _one(files, "ImageOrientationPatient"), _one(files, "PixelSpacing")
    if len(orientation) != 6 or len(spacing) != 2 or min(spacing) <= 0:
        raise VolumeError("missing_field", "ImageOrientationPatient or PixelSpacing makes no sense")
    if any(_count(file.header, "NumberOfFrames", 1) != 1 for file in files):
        raise VolumeError(
            "wrong_shape",
            "NumberOfFrames is not 1: images of several frames are not read, give a slice a file",
        )
    normal = np.cross(orientation[:3], orientation[3:])
    places = [(float(normal @ _numbers(file.header, "ImagePositionPatient", 3)), file) for file in files]
    places.sort(key=lambda place: place[0])
    ordered = [file for _, file in places]
    shape = check_shape((len(ordered), rows, columns))
    headers = tuple(file.header for file in ordered)
    positions = np.array([position for position, _ in places])
    _check_grid(positions, _count(first, "NumberOfSlices", 0))
    doubts = _doubts(positions, headers)
    scale = suv_scale(min(headers, key=_acquired))
    affine = _affine(headers, orientation, spacing)
    slices = _slices(ordered, (rows, columns), scale.factor)
    return SlicedVolume(shape, affine, 0, slices, headers=headers, warnings=(*scale.warnings, *doubts))


def _check_grid(positions: npt.NDArray[np.float64], listed: float) -> None:
    """Raise `VolumeError` where positions along the normal, in mm, are not evenly spaced."""
    steps = np.diff(positions)
    if steps.min() < SAME_PLACE_MM:
        frames = np.diff(np.flatnonzero(np.concatenate(([True], steps >= SAME_PLACE_MM, [True]))))
        if len(frames) > 1 and (frames == frames[0]).all():
            raise VolumeError(
                "wrong_shape",
                f"there are {frames[0]} images at each of {len(frames)} places: the series is dynamic or "
                "gated, or two in one; give one frame of it, or their mean",
            )
        place = float(positions[int(steps.argmin())])
        raise VolumeError("doubled_slice", f"two slices lie at {place:.1f} mm")
    step = float(np.median(steps))
    wide = int(steps.argmax())
    if steps[wide] > (2 - UNEVEN) * step:
        raise VolumeError(
            "missing_slice",
            f"there is a gap between {positions[wide]:.1f} and {positions[wide + 1]:.1f} mm, "
            f"where slices are {step:.2f} mm apart",
        )
    if np.abs(steps - step).max() > UNEVEN * step:
        raise VolumeError("uneven_slices", f"slices are {steps.min():.2f} to {steps.max():.2f} mm apart")
    if len(positions) < listed:
        raise VolumeError(
            "missing_slice", f"there are {len(positions)} slices, and NumberOfSlices says {listed:g}"
        )


def _doubts(positions: npt.NDArray[np.float64], headers: "tuple[Dataset, ...]") -> tuple[str, ...]:
    """Return sentences for what looks as if slices were missing that leave no gap.

    Raises `VolumeError` where every second slice, or more, is missing.
    """
    doubts = []
    step = float(np.median(np.diff(positions)))
    apart = abs(_said(headers[0], "SpacingBetweenSlices"))
    if apart and step > (2 - UNEVEN) * apart:
        raise VolumeError(
            "missing_slice",
            f"slices are {step:.2f} mm apart, and SpacingBetweenSlices says {apart:.2f} mm: most are missing",
        )
    thickness = _said(headers[0], "SliceThickness")
    if thickness and not apart and step > (2 - UNEVEN) * thickness:
        doubts.append(
            f"slices are {step:.2f} mm apart and {thickness:.2f} mm thick: are those in between missing?"
        )
    numbers = sorted(int(_said(header, "InstanceNumber")) for header in headers)
    if numbers[0] > 0 and numbers[-1] - numbers[0] + 1 == len(numbers) and numbers[0] > 1:
        doubts.append(
            f"the images' InstanceNumber begins with {numbers[0]}: are {numbers[0] - 1} images missing?"
        )
    if numbers[0] > 0 and 0 < (gaps := numbers[-1] - numbers[0] + 1 - len(set(numbers))) < len(numbers):
        doubts.append(f"{gaps} numbers between the images' InstanceNumber are not there: are images missing?")
    return tuple(doubts)


def _said(header: "Dataset", field: str) -> float:
    """Return a field's number, 0 where it is none."""
    try:
        number = float(value_of(header, field) or 0)
    except (TypeError, ValueError, OverflowError, VolumeError):
        return 0.0
    return number if np.isfinite(number) else 0.0


def _affine(
    headers: "tuple[Dataset, ...]",
    orientation: npt.NDArray[np.float64],
    spacing: npt.NDArray[np.float64],
) -> Affine:
    """Return what leads from (slice, row, column) to RAS+ mm (DICOM PS3.3 C.7.6.2.1.1)."""
    begin, end = (_numbers(header, "ImagePositionPatient", 3) for header in (headers[0], headers[-1]))
    lps = np.eye(4)
    lps[:3, 0] = (end - begin) / (len(headers) - 1)
    lps[:3, 1] = orientation[3:] * spacing[0]
    lps[:3, 2] = orientation[:3] * spacing[1]
    lps[:3, 3] = begin
    return np.asarray(LPS_TO_RAS @ lps)


def _slices(files: list[DicomFile], shape: tuple[int, int], factor: float) -> Iterator[FloatMap]:
    for file in files:
        slope = float(_numbers(file.header, "RescaleSlope", 1)[0])
        intercept = float(_numbers(file.header, "RescaleIntercept", 1)[0])
        stored = _pixels(file, shape)
        if stored.shape != shape:
            raise VolumeError("unreadable", "an image's pixels are not as many as its header says")
        yield stored.astype(np.float32) * np.float32(slope * factor) + np.float32(intercept * factor)


def _pixels(file: DicomFile, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Return an image's stored values; those that are not packed are read without parsing the file again."""
    with IMPORT_LOCK:
        from pydicom.pixels.utils import pixel_array

    try:
        with file.open() as opened:
            if file.pixels_at is None:
                values: npt.NDArray[Any] = pixel_array(opened)
            else:
                opened.seek(file.pixels_at)
                data = opened.read(2 * shape[0] * shape[1])
                kind = "<i2" if value_of(file.header, "PixelRepresentation") == 1 else "<u2"
                if len(data) < 2 * shape[0] * shape[1]:
                    raise EOFError
                values = np.frombuffer(data, dtype=kind)
            read_to_the_end(opened)
            return values.reshape(shape)
    except DAMAGED:
        raise damaged(file.header) from None
    except Exception as error:  # decoders raise whatever the pixels lead to
        raise VolumeError(
            "unreadable",
            f"the pixels of image {_number_of(file)} cannot be read ({_packing(file)}, "
            f"{type(error).__name__}): export the series uncompressed (Explicit VR Little Endian)",
        ) from None


def _number_of(file: DicomFile) -> str:
    number = str(value_of(file.header, "InstanceNumber") or "")
    return number[:8] if number.isdecimal() else "without a number"


def _packing(file: DicomFile) -> str:
    """Return how an image's pixels are stored, in DICOM's words."""
    with IMPORT_LOCK:
        from pydicom.uid import UID

    return UID(str(file.header.file_meta.get("TransferSyntaxUID") or "none")).name[:60]


def _one(files: list[DicomFile], field: str, count: int | None = None) -> npt.NDArray[np.float64]:
    """Return the value that a field has in all files; raises `VolumeError` where they differ."""
    first = _numbers(files[0].header, field, count)
    for file in files[1:]:
        other = _numbers(file.header, field)
        if other.shape != first.shape or np.abs(other - first).max() > 1e-3:
            raise VolumeError("mixed_series", f"the series' images differ in {field}")
    return first


def _numbers(header: "Dataset", field: str, count: int | None = None) -> npt.NDArray[np.float64]:
    try:
        values = np.atleast_1d(np.array(required(header, field), dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        values = np.array([np.nan])
    if not np.isfinite(values).all() or (count is not None and len(values) != count):
        raise VolumeError("missing_field", f"an image's {field} makes no sense")
    return values


def _count(header: "Dataset", field: str, otherwise: int) -> int:
    value = value_of(header, field)
    return otherwise if value in (None, "") else int(_numbers(header, field, 1)[0])


def _acquired(header: "Dataset") -> str:
    return "".join(str(value_of(header, field) or "") for field in ("AcquisitionDate", "AcquisitionTime"))
