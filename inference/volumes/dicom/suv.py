"""SUV by body weight from the header of a DICOM PET image.

Source: the vendor-neutral pseudo-code of the Quantitative Imaging Biomarkers Alliance (QIBA),
"Standardized Uptake Value (SUV)": the dose is decayed to the moment that the activities are
corrected to, and SUV = activity x weight / decayed dose.
"""

import math
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from inference.errors import shown
from inference.volumes.dicom.headers import items_of, required, value_of
from inference.volumes.errors import VolumeError

if TYPE_CHECKING:
    from pydicom import Dataset

PHILIPS_CREATOR, PHILIPS_SUV, PHILIPS_ACTIVITY = 0x70530010, 0x70531000, 0x70531009
GE_CREATOR, GE_SCAN_START = 0x00090010, 0x0009100D
WEIGHT_KG = (0.5, 500.0)
DOSE_BQ = (1e5, 1e11)
MAX_HALF_LIVES = 20


def suv_factor(header: "Dataset") -> float:
    """Return what the rescaled values of a PET image are multiplied by to be SUVs by body weight.

    Raises `VolumeError` that names the field that is missing or makes no sense.
    """
    units = str(required(header, "Units")).upper()
    _check_corrections(header)
    if units == "GML":
        kind = str(value_of(header, "SUVType") or "BW").upper()
        if kind != "BW":
            raise VolumeError(
                "unsupported_units", f"the values are SUVs by {shown(kind)}, not by body weight (BW)"
            )
        return 1.0
    if units == "BQML":
        return _per_activity(header)
    if units == "CNTS":
        return _per_count(header)
    raise VolumeError("unsupported_units", f"the values are in {shown(units)}, and not in BQML, GML or CNTS")


def _check_corrections(header: "Dataset") -> None:
    corrected = {str(part).upper() for part in _listed(value_of(header, "CorrectedImage"))}
    for correction, name in (("ATTN", "attenuation"), ("DECY", "decay")):
        if corrected and correction not in corrected:
            raise VolumeError(
                "not_corrected",
                f"the series is not corrected for {name} (CorrectedImage has no {correction}): "
                "take the corrected series of the study",
            )


def _per_count(header: "Dataset") -> float:
    """Counts have an SUV only where the scanner says which: Philips' private scale factors."""
    if "philips" in _private_text(header, PHILIPS_CREATOR).lower():
        factor = _private_number(header, PHILIPS_SUV)
        if factor:
            return factor
        activity = _private_number(header, PHILIPS_ACTIVITY)
        if activity:
            return activity * _per_activity(header)
    raise VolumeError(
        "counts_without_scale",
        "the values are counts (CNTS), and the header has neither a dose to them nor Philips' scale factor "
        "(7053,1000): export the series in BQML",
    )


def _per_activity(header: "Dataset") -> float:
    weight_kg = _number(header, "PatientWeight", "missing_weight", "SUVs are by body weight")
    if not WEIGHT_KG[0] <= weight_kg <= WEIGHT_KG[1]:
        raise VolumeError("implausible_value", f"PatientWeight is {weight_kg:g} kg")
    tracers = items_of(header, "RadiopharmaceuticalInformationSequence")
    if not tracers:
        raise VolumeError(
            "missing_dose",
            "the header has no RadiopharmaceuticalInformationSequence, so that no dose is known",
        )
    tracer = tracers[0]
    dose_bq = _number(tracer, "RadionuclideTotalDose", "missing_dose", "without the dose there is no SUV")
    if not DOSE_BQ[0] <= dose_bq <= DOSE_BQ[1]:
        raise VolumeError("implausible_value", f"RadionuclideTotalDose is {dose_bq:g}, and not in becquerel")
    return weight_kg * 1000 / (dose_bq * _decayed(header, tracer))


def _decayed(header: "Dataset", tracer: "Dataset") -> float:
    """Return which share of the dose is left at the moment that the activities are corrected to."""
    correction = str(required(header, "DecayCorrection")).upper()
    if correction == "ADMIN":
        return 1.0
    if correction != "START":
        raise VolumeError(
            "not_corrected", f"DecayCorrection is {shown(correction)}, and neither START nor ADMIN"
        )
    half_life_s = _number(tracer, "RadionuclideHalfLife", "missing_field", "the dose decays by it")
    corrected_to = _scan_start(header, half_life_s)
    passed_s = (corrected_to - _injection(tracer, corrected_to)).total_seconds()
    if not 0 <= passed_s <= MAX_HALF_LIVES * half_life_s:
        raise VolumeError(
            "implausible_value",
            f"the scan starts {passed_s / 60:.0f} min after the injection: RadiopharmaceuticalStartTime "
            "or the times of the series are wrong",
        )
    return float(2 ** (-passed_s / half_life_s))


def _scan_start(header: "Dataset", half_life_s: float) -> datetime:
    """Return the moment that activities are corrected to.

    It is the series' time, unless a later processing has set that to later than the acquisition:
    then GE's private field, or what the frame's own times say.
    """
    series = _moment(header, "SeriesDate", "SeriesTime")
    acquisition = _moment(header, "AcquisitionDate", "AcquisitionTime")
    if series <= acquisition:
        return series
    if "gems" in _private_text(header, GE_CREATOR).lower() and (
        start := _private_text(header, GE_SCAN_START)
    ):
        return _parse(start, "(0009,100D)")
    if not value_of(header, "ActualFrameDuration") or value_of(header, "FrameReferenceTime") is None:
        return acquisition
    frame_s = _number(header, "ActualFrameDuration", "missing_field", "") / 1000
    try:
        reference_s = float(value_of(header, "FrameReferenceTime")) / 1000
        decay = math.log(2) / half_life_s
        average_s = math.log(decay * frame_s / -math.expm1(-decay * frame_s)) / decay
        return acquisition + timedelta(seconds=average_s - reference_s)
    except (TypeError, ValueError, ArithmeticError):
        raise VolumeError(
            "implausible_value", "the times of a frame, or the half life, make no sense"
        ) from None


def _injection(tracer: "Dataset", corrected_to: datetime) -> datetime:
    if begun := value_of(tracer, "RadiopharmaceuticalStartDateTime"):
        return _parse(str(begun), "RadiopharmaceuticalStartDateTime")
    time = str(required(tracer, "RadiopharmaceuticalStartTime"))
    injection = _parse(f"{corrected_to:%Y%m%d}{time}", "RadiopharmaceuticalStartTime")
    if injection > corrected_to and injection.toordinal() > 1:
        injection -= timedelta(days=1)  # before midnight
    return injection


def _moment(header: "Dataset", date: str, time: str) -> datetime:
    return _parse(f"{required(header, date)}{required(header, time)}", time)


def _parse(text: str, field: str) -> datetime:
    """Read a DICOM date and time; a time zone is left out, since those of one image are the same."""
    digits, _, fraction = text.strip().partition("+")[0].partition("-")[0].partition(".")
    try:
        moment = datetime.strptime(digits.ljust(14, "0")[:14], "%Y%m%d%H%M%S")
        return moment + timedelta(seconds=float(f"0.{fraction or 0}"))
    except (ValueError, OverflowError):
        raise VolumeError("implausible_value", f"{field} cannot be read as a time") from None


def _number(header: "Dataset", field: str, fault: Any, why: str) -> float:
    try:
        value = float(value_of(header, field) or 0)
    except (TypeError, ValueError, OverflowError):
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise VolumeError(fault, f"the header has no {field}, or 0 for it" + (f": {why}" if why else ""))
    return value


def _private_number(header: "Dataset", tag: int) -> float:
    try:
        value = float(header[tag].value)
    except Exception:  # there is none, or its bytes are something else
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0


def _private_text(header: "Dataset", tag: int) -> str:
    try:
        value = header[tag].value
    except Exception:  # there is none, or its bytes are something else
        return ""
    return value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")


def _listed(value: Any) -> list[Any]:
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, Iterable) and not isinstance(value, str) else [value]
