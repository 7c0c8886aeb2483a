"""SUV by body weight, against numbers worked out by hand from QIBA's formula."""

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

from inference.volumes.dicom.headers import quiet
from inference.volumes.dicom.suv import suv_factor, suv_scale
from inference.volumes.errors import VolumeError
from training.phantoms.volume_files import DOSE_BQ, HALF_LIFE_S, INJECTION, SCAN, WEIGHT_KG, make_image
from training.phantoms.volumes import PhantomVolume

UNDECAYED = WEIGHT_KG * 1000 / DOSE_BQ
DECAYED = UNDECAYED * 2 ** (3750 / HALF_LIFE_S)  # from 9:15 to 10:17:30


@pytest.fixture
def header(small: PhantomVolume) -> Dataset:
    """The header of the last slice, whose bed was scanned last."""
    return make_image(small, len(small.suv) - 1, {"study": "1.2", "series": "1.3", "frame": "1.4"})


def tracer(header: Dataset) -> Dataset:
    found: Dataset = header.RadiopharmaceuticalInformationSequence[0]
    return found


def by_administration(header: Dataset) -> None:
    header.DecayCorrection = "ADMIN"


def by_date_and_time(header: Dataset) -> None:
    del tracer(header).RadiopharmaceuticalStartTime
    tracer(header).RadiopharmaceuticalStartDateTime = f"{INJECTION:%Y%m%d%H%M%S}.00+0100"


def over_midnight(header: Dataset) -> None:
    header.SeriesDate = header.AcquisitionDate = "20240306"
    header.SeriesTime, header.AcquisitionTime = "002730", "004130"
    tracer(header).RadiopharmaceuticalStartTime = "232500.000"


def processed_later(header: Dataset) -> None:
    header.SeriesTime = f"{SCAN + timedelta(hours=3):%H%M%S}"


def processed_later_by_ge(header: Dataset) -> None:
    processed_later(header)
    header.AcquisitionTime = "120000"
    header.private_block(0x0009, "GEMS_PETD_01", create=True).add_new(0x0D, "DT", f"{SCAN:%Y%m%d%H%M%S}.00")


def in_suv(header: Dataset) -> None:
    header.Units, header.SUVType = "GML", "BW"
    del header.PatientWeight


def philips(header: Dataset) -> None:
    header.Units = "CNTS"
    header.private_block(0x7053, "Philips PET Private Group", create=True).add_new(0x00, "DS", "0.000125")


def philips_activity(header: Dataset) -> None:
    header.Units = "CNTS"
    block = header.private_block(0x7053, "Philips PET Private Group", create=True)
    block.add_new(0x00, "DS", "0")
    block.add_new(0x09, "DS", "1.5")


def unchanged(_: Dataset) -> None:
    pass


@pytest.mark.parametrize(
    ("change", "factor"),
    [
        (unchanged, DECAYED),
        (by_administration, UNDECAYED),
        (by_date_and_time, DECAYED),
        (over_midnight, DECAYED),
        (processed_later, DECAYED),
        (processed_later_by_ge, DECAYED),
        (in_suv, 1),
        (philips, 0.000125),
        (philips_activity, 1.5 * DECAYED),
    ],
)
def test_factor(change: Callable[[Dataset], None], factor: float, header: Dataset) -> None:
    change(header)
    assert suv_factor(header) == pytest.approx(factor, rel=1e-3)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("PatientWeight", 7200, "PatientWeight is more than 500 kg"),
        ("SeriesTime", "noon", "SeriesTime cannot be read as a time"),
        ("SeriesDate", "20240301", "min after the injection"),
        ("CorrectedImage", "ATTN", "not corrected for decay"),
    ],
)
def test_what_makes_no_sense_is_named(field: str, value: object, said: str, header: Dataset) -> None:
    tracer(header).RadiopharmaceuticalStartDateTime = f"{INJECTION:%Y%m%d%H%M%S}"
    setattr(header, field, value)
    with pytest.raises(VolumeError, match=said):
        suv_factor(header)


def test_a_dose_in_megabecquerel_and_a_lean_suv_are_refused(header: Dataset) -> None:
    tracer(header).RadionuclideTotalDose = 260
    with pytest.raises(VolumeError, match="RadionuclideTotalDose is 260, and not in becquerel"):
        suv_factor(header)
    header.Units, header.SUVType = "GML", "LBM"
    with pytest.raises(VolumeError, match="SUVs by 'LBM'"):
        suv_factor(header)


F18, C11, RB82, CU64, ZR89, I124 = 6586.2, 1223.4, 76.4, 45_723.0, 282_240.0, 360_806.0
HOUR = 3600.0


def timed(
    header: Dataset,
    *,
    start: str = "20240305 101730",
    zone: str | None = None,
    time: str | None = None,
    together: str | None = None,
    half_life: float = F18,
) -> Dataset:
    """Give a header one clock for series and acquisition, and an injection in the fields that are named."""
    header.SeriesDate, header.SeriesTime = start.split()
    header.AcquisitionDate, header.AcquisitionTime = start.split()
    if zone is not None:
        header.TimezoneOffsetFromUTC = zone
    del tracer(header).RadiopharmaceuticalStartTime
    if time is not None:
        tracer(header).RadiopharmaceuticalStartTime = time
    if together is not None:
        tracer(header).RadiopharmaceuticalStartDateTime = together
    tracer(header).RadionuclideHalfLife = half_life
    return header


Clock = dict[str, object]

DELAYS: dict[str, tuple[Clock, float]] = {
    "no zone": ({"together": "20240305091500"}, 3750),
    "one zone in both": ({"together": "20240305091500+0100", "zone": "+0100"}, 3750),
    "UTC beside a zone": ({"together": "20240305081500.00+0000", "zone": "+0100"}, 3750),
    "a zone beside UTC": ({"together": "20240305101500+0100", "zone": "+0000"}, 3750),
    "east beside west": ({"together": "20240305181500+0500", "zone": "-0400"}, 3750),
    "half hours": ({"together": "20240305091500+0100", "zone": "+0530", "start": "20240305 144730"}, 3750),
    "a zone with a colon": ({"together": "20240305081500+00:00", "zone": "+01:00"}, 3750),
    "a zone over midnight": (
        {"together": "20240305232500+0000", "zone": "+0100", "start": "20240306 012730"},
        3750,
    ),
    "no zone beside the dataset's": ({"together": "20240305091500", "zone": "-0500"}, 3750),
    "a zone that is none, which nothing needs": ({"together": "20240305091500", "zone": "CET"}, 3750),
    "a time beside it tells the zone": ({"together": "20240305081500+0000", "time": "091500"}, 3750),
    "a time beside it has the same clock": ({"together": "20240305091500+0000", "time": "091500"}, 3750),
    "a date alone": ({"together": "20240305", "time": "091500"}, 3750),
    "a date at midnight": ({"together": "20240305000000.00", "time": "091500"}, 3750),
    "a date at midnight in a zone": ({"together": "20240305000000+0100", "time": "091500"}, 3750),
    "a date alone, days before": ({"together": "20240301", "time": "101730", "half_life": ZR89}, 96 * HOUR),
    "a whole date in the field of a time": ({"time": "20240305091500"}, 3750),
    "a time": ({"time": "091500.000000"}, 3750),
    "a time to the minute": ({"time": "0915"}, 3750),
    "a time with colons": ({"time": "09:15:00"}, 3750),
    "a time before midnight": ({"time": "232500", "start": "20240306 002730"}, 3750),
    "a time at midnight": ({"time": "000000", "start": "20240306 010230"}, 3750),
    "a leap second": ({"time": "091460", "start": "20240305 101729"}, 3750),
    "the same second": ({"time": "101730"}, 0),
    "days before": ({"together": "20240301101730", "half_life": ZR89}, 96 * HOUR),
    "days before, to the hour": ({"together": "2024030110", "half_life": ZR89}, 96 * HOUR + 1050),
    "a day before": ({"together": "20240304101730", "half_life": CU64}, 24 * HOUR),
    "carbon": ({"time": "100730", "half_life": C11}, 600),
    "rubidium": ({"time": "101600", "half_life": RB82}, 90),
}


@pytest.mark.parametrize(("clock", "passed_s"), DELAYS.values(), ids=DELAYS.keys())
def test_the_time_since_the_injection(clock: dict[str, str], passed_s: float, header: Dataset) -> None:
    timed(header, **clock)  # type: ignore[arg-type]
    half_life = float(tracer(header).RadionuclideHalfLife)
    scale = suv_scale(header)
    assert scale.factor == pytest.approx(UNDECAYED * 2 ** (passed_s / half_life), rel=1e-6)
    assert scale.warnings == ()


WARNED: dict[str, tuple[Clock, float, str]] = {
    "seconds": ({"time": "101745"}, 0, "15 s after the scan's start"),
    "minutes": ({"together": "20240305102200"}, 0, "270 s after the scan's start"),
    "over midnight": ({"time": "000010", "start": "20240305 235950"}, 0, "20 s after"),
    "dated, of days": ({"together": "20240305101800", "half_life": ZR89}, 0, "30 s after"),
    "seconds of rubidium": ({"time": "101735", "half_life": RB82}, 0, "5 s after"),
    "of two zones": ({"together": "20240305091800+0000", "zone": "+0100"}, 0, "30 s after"),
    "many half-lives": ({"together": "20240305011730"}, 9 * HOUR, "540 min after .* 4.9 half-lives"),
    "one zone of two": ({"together": "20240305091500+0100"}, 3750, "has a zone, and SeriesTime"),
}


@pytest.mark.parametrize(("clock", "passed_s", "said"), WARNED.values(), ids=WARNED.keys())
def test_what_is_not_taken_at_its_word_is_told(
    clock: dict[str, str], passed_s: float, said: str, header: Dataset
) -> None:
    timed(header, **clock)  # type: ignore[arg-type]
    scale = suv_scale(header)
    half_life = float(tracer(header).RadionuclideHalfLife)
    assert scale.factor == pytest.approx(UNDECAYED * 2 ** (passed_s / half_life), rel=1e-6)
    (told,) = scale.warnings
    assert re.search(said, told)


AMBIGUOUS: dict[str, tuple[Clock, str]] = {
    "UTC beside no zone": ({"together": "20240305081500+0000"}, "in UTC, and SeriesTime .* TimezoneOffset"),
    "a zone that is none": (
        {"together": "20240305081500+0000", "zone": "CET"},
        "TimezoneOffsetFromUTC has 'CET'",
    ),
    "a zone too wide": ({"together": "20240305081500+2500"}, "has '\\+2500', which is no offset"),
    "two times": (
        {"together": "20240305081500", "time": "091500"},
        "20240305081500 and .* 091500 contradict",
    ),
    "two times in zones": (
        {"together": "20240305091500+0000", "time": "091500", "zone": "+0100"},
        "contradict each other",
    ),
    "a date alone": ({"together": "20240305"}, "is a date alone, and there is no Radiopharm"),
    "a month alone": ({"together": "202403", "time": "091500"}, "StartDateTime cannot be read as a time"),
    "midnight": ({"together": "20240305000000"}, "is midnight"),
    "midnight of days": ({"together": "20240301000000", "half_life": ZR89}, "is midnight"),
    "an hour": ({"time": "09"}, "StartTime 09 is too coarse"),
    "a minute of rubidium": ({"time": "1016", "half_life": RB82}, "too coarse"),
    "a day of copper": ({"time": "091500", "half_life": CU64}, "any of 3 days would do for SeriesTime"),
    "copper after the scan": (
        {"time": "101745", "half_life": CU64},
        "StartTime 101745 names no day, and any of 3",
    ),
    "a day of zirconium": ({"time": "091500", "half_life": ZR89}, "any of 14 days"),
    "a day of iodine": ({"time": "101745", "half_life": I124}, "RadiopharmaceuticalStartDateTime is needed"),
    "a half-life without end": ({"time": "091500", "half_life": 1e15}, "any day"),
    "hours after the scan": ({"time": "121745"}, "names no day, and no day would do"),
    "hours after the scan, dated": ({"together": "20240305121730"}, "-120 min after the injection"),
    "a day before": ({"together": "20240304091500"}, "1502 min after the injection"),
    "another year": ({"together": "00010305091500"}, "cannot be read as a time"),
    "no injection": ({}, "no RadiopharmaceuticalStartTime"),
    "what is no time": ({"time": "9 a.m."}, "StartTime cannot be read as a time: it is '9 a.m.'"),
}


@pytest.mark.parametrize(("clock", "said"), AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_what_stays_ambiguous_is_refused(clock: dict[str, str], said: str, header: Dataset) -> None:
    timed(header, **clock)  # type: ignore[arg-type]
    with pytest.raises(VolumeError, match=said):
        suv_factor(header)


def test_a_frames_reference_time_that_is_no_number_is_named(header: Dataset) -> None:
    quiet()
    processed_later(header)
    header.FrameReferenceTime = None
    assert suv_factor(header) > 0
    header["FrameReferenceTime"] = RawDataElement(
        header["FrameReferenceTime"].tag, "DS", 7, b"60000,5", 0, False, True
    )
    with pytest.raises(VolumeError, match="FrameReferenceTime is no number: it has a decimal comma"):
        suv_factor(header)
