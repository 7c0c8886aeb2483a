"""SUV by body weight from the header of a DICOM PET image.

Source: the vendor-neutral pseudo-code of the Quantitative Imaging Biomarkers Alliance (QIBA),
"Standardized Uptake Value (SUV)": the dose is decayed to the moment that the activities are
corrected to, and SUV = activity x weight / decayed dose.
"""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import timedelta, timezone
from typing import TYPE_CHECKING, Any

from inference.errors import shown
from inference.volumes.dicom.headers import items_of, required, value_of
from inference.volumes.dicom.moments import (
    DAY_S,
    Moment,
    at_time,
    check_zone,
    dataset_zone,
    moment_of,
    read_moment,
)
from inference.volumes.errors import VolumeError

if TYPE_CHECKING:
    from pydicom import Dataset

PHILIPS_CREATOR, PHILIPS_SUV, PHILIPS_ACTIVITY = 0x70530010, 0x70531000, 0x70531009
GE_CREATOR, GE_SCAN_START = 0x00090010, 0x0009100D
WEIGHT_KG = (0.5, 500.0)
DOSE_BQ = (1e5, 1e11)

MAX_HALF_LIVES = 10
"""Between injection and scan: a thousandth of the dose is left, of which nobody makes an image."""

LIKELY_HALF_LIVES = 4
"""The same where a day is found by what is plausible, and not read: 7 h of F-18. Longer is warned of."""

NIGHT_S = 6 * 3600.0
"""How long after an injection at 0:00:00 a scan starts, if that is a time, and not a date without one."""

CLOCKS_DIFFER_S, CLOCKS_DIFFER_HALF_LIVES = 600.0, 0.25
"""By how much, and by no more than which share of a half-life, a scan may start before its injection."""

EXACT_ENOUGH = 0.05
"""Of a half-life: within which a moment must be known, for SUVs that are right within 4 %."""

SAME_TIME = 0.02
"""Of a half-life: by how much two fields that give the same moment may differ."""

WHOLE = re.compile(r"\d{10,14}(\.\d*)?([+-]\d{4})?")
"""A date and time of day (DT)."""

MOST_DAYS = 100

ZONE_STEP_S = 900.0
"""Zones differ by quarters of an hour."""


@dataclass(frozen=True)
class SuvScale:
    """What rescaled values are multiplied by to be SUVs by body weight, and what its user is told of it."""

    factor: float
    warnings: tuple[str, ...] = ()


def suv_factor(header: "Dataset") -> float:
    """Return what the rescaled values of a PET image are multiplied by to be SUVs by body weight.

    Raises `VolumeError` that names the field that is missing or makes no sense.
    """
    return suv_scale(header).factor


def suv_scale(header: "Dataset") -> SuvScale:
    """Return the factor of a PET image's header with its warnings; raises `VolumeError` as `suv_factor`."""
    units = str(required(header, "Units")).upper()
    _check_corrections(header)
    if units == "GML":
        kind = str(value_of(header, "SUVType") or "BW").upper()
        if kind != "BW":
            raise VolumeError(
                "unsupported_units", f"the values are SUVs by {shown(kind)}, not by body weight (BW)"
            )
        return SuvScale(1.0)
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


def _per_count(header: "Dataset") -> SuvScale:
    """Counts have an SUV only where the scanner says which: Philips' private scale factors."""
    if "philips" in _private_text(header, PHILIPS_CREATOR).lower():
        factor = _private_number(header, PHILIPS_SUV)
        if factor:
            return SuvScale(factor)
        activity = _private_number(header, PHILIPS_ACTIVITY)
        if activity:
            scale = _per_activity(header)
            return replace(scale, factor=activity * scale.factor)
    raise VolumeError(
        "counts_without_scale",
        "the values are counts (CNTS), and the header has neither a dose to them nor Philips' scale factor "
        "(7053,1000): export the series in BQML",
    )


def _per_activity(header: "Dataset") -> SuvScale:
    weight_kg = _number(header, "PatientWeight", "missing_weight", "SUVs are by body weight")
    if not WEIGHT_KG[0] <= weight_kg <= WEIGHT_KG[1]:
        side = f"less than {WEIGHT_KG[0]:g}" if weight_kg < WEIGHT_KG[0] else f"more than {WEIGHT_KG[1]:g}"
        raise VolumeError("implausible_value", f"PatientWeight is {side} kg: correct it")
    tracers = items_of(header, "RadiopharmaceuticalInformationSequence")
    if not tracers:
        raise VolumeError(
            "missing_dose",
            "the header has no RadiopharmaceuticalInformationSequence, so that no dose is known",
        )
    tracer: Dataset = tracers[0]
    dose_bq = _number(tracer, "RadionuclideTotalDose", "missing_dose", "without the dose there is no SUV")
    if not DOSE_BQ[0] <= dose_bq <= DOSE_BQ[1]:
        raise VolumeError("implausible_value", f"RadionuclideTotalDose is {dose_bq:g}, and not in becquerel")
    left, warnings = _decayed(header, tracer)
    return SuvScale(weight_kg * 1000 / (dose_bq * left), warnings)


def _decayed(header: "Dataset", tracer: "Dataset") -> tuple[float, tuple[str, ...]]:
    """Return which share of the dose is left at the moment that the activities are corrected to."""
    correction = str(required(header, "DecayCorrection")).upper()
    if correction == "ADMIN":
        return 1.0, ()
    if correction != "START":
        raise VolumeError(
            "not_corrected", f"DecayCorrection is {shown(correction)}, and neither START nor ADMIN"
        )
    half_life_s = _number(tracer, "RadionuclideHalfLife", "missing_field", "the dose decays by it")
    start = _scan_start(header, half_life_s)
    injection = _injection(header, tracer, start, half_life_s)
    passed_s = start.seconds_since(injection)
    for moment in (start, injection):
        if moment.exact_to_s > max(1.0, EXACT_ENOUGH * half_life_s):
            raise VolumeError(
                "implausible_value",
                f"{moment} is too coarse a time for a half-life of {half_life_s:g} s: SUVs need the minute, "
                "or the second",
            )
    if not -_clocks_differ_s(half_life_s) <= passed_s <= MAX_HALF_LIVES * half_life_s:
        raise VolumeError(
            "implausible_value",
            f"the scan starts {passed_s / 60:.0f} min after the injection ({injection}; {start}), which "
            f"cannot be with a half-life of {half_life_s:g} s: correct the field that is wrong",
        )
    _check_midnight(tracer, injection, passed_s, half_life_s)
    return float(2 ** (-max(passed_s, 0.0) / half_life_s)), _told(start, injection, passed_s, half_life_s)


def _check_midnight(tracer: "Dataset", injection: Moment, passed_s: float, half_life_s: float) -> None:
    """Raise `VolumeError` where 0:00:00 stands for a date of which no time is known."""
    longest_s = min(NIGHT_S, LIKELY_HALF_LIVES * half_life_s)
    if (
        injection.is_midnight
        and passed_s > longest_s
        and not value_of(tracer, "RadiopharmaceuticalStartTime")
    ):
        raise VolumeError(
            "implausible_value",
            f"{injection} is midnight, as programs write that know a date alone: SUVs need the time",
        )


def _told(start: Moment, injection: Moment, passed_s: float, half_life_s: float) -> tuple[str, ...]:
    """Return the sentences that a user is told of the time between injection and scan."""
    told = []
    if passed_s < 0:
        told.append(
            f"the injection is noted {-passed_s:.0f} s after the scan's start ({injection}; {start}): this "
            "is taken for a difference of two clocks, and the injection for the scan's start"
        )
    if passed_s > LIKELY_HALF_LIVES * half_life_s:
        told.append(
            f"the scan starts {passed_s / 60:.0f} min after the injection ({injection}; {start}), "
            f"{passed_s / half_life_s:.1f} half-lives: are both times right? SUVs depend on it"
        )
    if start.clock.tzinfo is None and injection.clock.tzinfo is not None:
        told.append(
            f"{injection} has a zone, and {start} has none (TimezoneOffsetFromUTC is missing): they are "
            "taken for times of one clock"
        )
    return tuple(told)


def _clocks_differ_s(half_life_s: float) -> float:
    return min(CLOCKS_DIFFER_S, CLOCKS_DIFFER_HALF_LIVES * half_life_s)


def _scan_start(header: "Dataset", half_life_s: float) -> Moment:
    """Return the moment that activities are corrected to.

    It is the series' time, unless a later processing has set that to later than the acquisition:
    then GE's private field, or what the frame's own times say.
    """
    zone = dataset_zone(header)
    series = moment_of(header, "SeriesDate", "SeriesTime", zone)
    acquisition = _acquisition(header, zone)
    if series.seconds_since(acquisition) <= 0:
        return series
    if "gems" in _private_text(header, GE_CREATOR).lower() and _private_text(header, GE_SCAN_START):
        return read_moment(_private_text(header, GE_SCAN_START), "(0009,100D)", zone)
    if not value_of(header, "ActualFrameDuration") or value_of(header, "FrameReferenceTime") in (None, ""):
        return acquisition
    frame_s = _number(header, "ActualFrameDuration", "missing_field", "") / 1000
    reference_s = _finite(header, "FrameReferenceTime") / 1000
    decay = math.log(2) / half_life_s
    if frame_s > DAY_S or abs(reference_s) > DAY_S:
        raise VolumeError(
            "implausible_value",
            "ActualFrameDuration or FrameReferenceTime is more than a day (they are in ms)",
        )
    average_s = math.log(decay * frame_s / -math.expm1(-decay * frame_s)) / decay
    return replace(acquisition, clock=acquisition.clock + timedelta(seconds=average_s - reference_s))


def _acquisition(header: "Dataset", zone: timezone | None) -> Moment:
    together = str(value_of(header, "AcquisitionDateTime") or "").strip()
    if together and not (value_of(header, "AcquisitionDate") and value_of(header, "AcquisitionTime")):
        return read_moment(together, "AcquisitionDateTime", zone)
    return moment_of(header, "AcquisitionDate", "AcquisitionTime", zone)


def _injection(header: "Dataset", tracer: "Dataset", start: Moment, half_life_s: float) -> Moment:
    """Return the moment of the injection, by the clock of the scan's start.

    Raises `VolumeError` where the fields contradict each other, or leave it open when that was.
    """
    together = str(value_of(tracer, "RadiopharmaceuticalStartDateTime") or "").strip()
    alone = str(value_of(tracer, "RadiopharmaceuticalStartTime") or "").strip()
    if not together and WHOLE.fullmatch(alone):
        together, alone = alone, ""  # a date and time in the field of a time of day
    if not together:
        return _dated(str(required(tracer, "RadiopharmaceuticalStartTime")), start, half_life_s)
    dated = read_moment(together, "RadiopharmaceuticalStartDateTime", dataset_zone(header))
    if dated.clock.tzinfo is not None and start.clock.tzinfo is None:
        check_zone(header)
    if not alone:
        if dated.is_date_alone:
            raise VolumeError(
                "missing_field",
                f"{dated} is a date alone, and there is no RadiopharmaceuticalStartTime: SUVs need the time",
            )
        return _by_the_scans_clock(dated, start)
    time = at_time(dated.clock, alone, "RadiopharmaceuticalStartTime")
    if dated.is_date_alone or (dated.is_midnight and not time.is_midnight):
        return replace(time, clock=time.clock.replace(tzinfo=start.clock.tzinfo))
    return _agreed(dated, alone, start, half_life_s)


def _by_the_scans_clock(dated: Moment, start: Moment) -> Moment:
    """Return a moment that is clear beside the scan's; raises `VolumeError` where its zone leaves it open.

    A scanner that writes its own zone in one field, and none in others, writes the same clock in all; one
    that writes UTC may have meant either.
    """
    if start.clock.tzinfo is None and dated.clock.tzinfo is not None and not dated.clock.utcoffset():
        raise VolumeError(
            "implausible_value",
            f"{dated} is in UTC, and {start} has no zone: TimezoneOffsetFromUTC is missing, without which "
            "nobody knows how long after the injection the scan was",
        )
    return dated


def _agreed(dated: Moment, alone: str, start: Moment, half_life_s: float) -> Moment:
    """Return the moment of two fields that give the same one; raises `VolumeError` where they do not."""
    known = start.clock.tzinfo is not None
    local = dated.clock.astimezone(start.clock.tzinfo) if known and dated.clock.tzinfo else dated.clock
    time = at_time(local, alone, "RadiopharmaceuticalStartTime")
    apart_s = (time.clock - local).total_seconds()
    apart_s -= DAY_S * round(apart_s / DAY_S)  # of two clocks, not of two days
    allowed_s = max(1.0, SAME_TIME * half_life_s) + (time.exact_to_s if time.exact_to_s > 1 else 0)
    if abs(apart_s) <= allowed_s:
        return replace(dated, clock=local if known else local.replace(tzinfo=None))
    if not known and dated.clock.tzinfo is not None:
        shift_s = ZONE_STEP_S * round(apart_s / ZONE_STEP_S)
        if abs(apart_s - shift_s) <= min(60.0, allowed_s):  # the one field tells the zone of the other
            return replace(dated, clock=dated.clock.replace(tzinfo=None) + timedelta(seconds=apart_s))
    raise VolumeError(
        "implausible_value",
        f"{dated} and {time} contradict each other: correct the one that is wrong",
    )


def _dated(text: str, start: Moment, half_life_s: float) -> Moment:
    """Return the injection that a time of day alone gives: on the one day that the nuclide leaves.

    Raises `VolumeError` where there are several such days, or none.
    """
    time = at_time(start.clock, text, "RadiopharmaceuticalStartTime")
    same_day_s = start.seconds_since(time)
    days = range(-1, min(MOST_DAYS, math.ceil(LIKELY_HALF_LIVES * half_life_s / DAY_S)) + 2)
    likely = [
        day
        for day in days
        if -_clocks_differ_s(half_life_s) <= same_day_s + day * DAY_S <= LIKELY_HALF_LIVES * half_life_s
    ]
    if len(likely) == 1:
        return replace(time, clock=time.clock - timedelta(days=likely[0]))
    why = "no day" if not likely else f"any of {len(likely)} days" if len(likely) < MOST_DAYS else "any day"
    raise VolumeError(
        "implausible_value",
        f"{time} names no day, and {why} would do for {start} and a half-life of {half_life_s:g} s: "
        "RadiopharmaceuticalStartDateTime is needed",
    )


def _number(header: "Dataset", field: str, fault: Any, why: str) -> float:
    """Return a field's number above 0; raises `VolumeError` that says whether it is missing or no number."""
    value = value_of(header, field)
    if value is None or str(value).strip() == "":
        raise VolumeError(fault, f"the header has no {field}" + (f": {why}" if why else ""))
    number = _finite(header, field)
    if number <= 0:
        raise VolumeError(
            fault,
            f"the header has {'0' if number == 0 else 'less than 0'} for {field}"
            + (f": {why}" if why else ""),
        )
    return number


def _finite(header: "Dataset", field: str) -> float:
    """Return a field's number; raises `VolumeError` where it has another form."""
    value: Any = value_of(header, field)
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        comma = ": it has a decimal comma" if "," in str(value) else ""
        raise VolumeError("implausible_value", f"{field} is no number{comma} (DICOM writes 72.5)")
    return number


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
