"""Moments of an image's header: a date, a time of day, how exact both are, and in which zone.

Source: DICOM PS3.5 6.2 (the value representations DA, TM and DT) and PS3.3 C.12.1.1.8: the dataset's
TimezoneOffsetFromUTC holds for every date and time that has no offset of its own.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from inference.volumes.dicom.headers import required, value_of
from inference.volumes.errors import VolumeError

if TYPE_CHECKING:
    from pydicom import Dataset

DATE_AND_TIME = re.compile(r"(\d{8})(|\d{2}|\d{4}|\d{6})(?:\.(\d*))?\s*([+-]\d{2}:?\d{2})?")
TIME = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d*)?)?)?")
ZONE = re.compile(r"([+-])(\d{2}):?(\d{2})")
ACR_NEMA_DATE = re.compile(r"(\d{4})[.-](\d{2})[.-](\d{2})")
ACR_NEMA_TIME = re.compile(r"(\d{2}):(\d{2})(?::(\d{2}(?:\.\d*)?))?")
"""As the predecessor of DICOM wrote them, and some programs still do."""

EXACT_TO_S = {0: 86400.0, 2: 3600.0, 4: 60.0, 6: 1.0}
"""By how many digits a time of day has."""

WIDEST_ZONE = timedelta(hours=14)
YEARS = range(1900, 2200)
DAY_S = 86400.0


@dataclass(frozen=True)
class Moment:
    """A moment of `clock`, aware where its zone is known, and by how many seconds it may be later."""

    clock: datetime
    exact_to_s: float
    field: str
    text: str

    def __str__(self) -> str:
        """Return field and value, as a sentence has them."""
        return f"{self.field} {self.text[:32]}"

    @property
    def is_date_alone(self) -> bool:
        """Say whether there is no time of day."""
        return self.exact_to_s == DAY_S

    @property
    def is_midnight(self) -> bool:
        """Say whether the time of day is 0:00, as programs write that know none."""
        return (self.clock.hour, self.clock.minute, self.clock.second) == (0, 0, 0)

    def seconds_since(self, earlier: "Moment") -> float:
        """Return the seconds since an earlier moment; where one zone is unknown, both clocks are the same."""
        here, there = self.clock, earlier.clock
        if here.tzinfo is None or there.tzinfo is None:
            here, there = here.replace(tzinfo=None), there.replace(tzinfo=None)
        return (here - there).total_seconds()


def dataset_zone(header: "Dataset") -> timezone | None:
    """Return the zone of a header's dates and times, None where it has none that can be read."""
    return _offset(_zone_text(header))


def check_zone(header: "Dataset") -> None:
    """Raise `VolumeError` where a header's zone is there and cannot be read: some moment is in another."""
    text = _zone_text(header)
    if text and _offset(text) is None:
        raise _no_zone("TimezoneOffsetFromUTC", text)


def moment_of(header: "Dataset", date: str, time: str, zone: timezone | None) -> Moment:
    """Return the moment that two fields of a header give; raises `VolumeError` that names one."""
    return read_moment(
        f"{plain_date(str(required(header, date)))}{plain_time(str(required(header, time)))}", time, zone
    )


def read_moment(text: str, field: str, zone: timezone | None) -> Moment:
    """Read a DICOM date and time (DT), of which the time may be cut short; `zone` is that of one without.

    Raises `VolumeError` that names the field where it is none.
    """
    found = DATE_AND_TIME.fullmatch(text.strip().rstrip("\0 "))
    if found is None:
        raise _unreadable(field, text)
    date, time, fraction, offset = found.groups()
    leap = time[4:] == "60"  # seconds go to 59
    try:
        clock = datetime.strptime(date + (time[:4] + "59" if leap else time.ljust(6, "0")), "%Y%m%d%H%M%S")
    except ValueError:
        raise _unreadable(field, text) from None
    if clock.year not in YEARS:
        raise _unreadable(field, text)
    clock += timedelta(seconds=float(f"0.{fraction or 0}"))
    own = zone if offset is None else _zone(offset, field)
    return Moment(clock.replace(tzinfo=own), EXACT_TO_S[len(time)], field, text.strip())


def at_time(day: datetime, text: str, field: str) -> Moment:
    """Return the moment of a day, in its zone, at which a clock shows a time of day (TM)."""
    digits = plain_time(text)
    if not TIME.fullmatch(digits):
        raise _unreadable(field, text)
    read = read_moment(f"{day:%Y%m%d}{digits}", field, None)
    return Moment(read.clock.replace(tzinfo=day.tzinfo), read.exact_to_s, field, text.strip())


def plain_date(text: str) -> str:
    """Return a date without the separators that DICOM's predecessor had."""
    found = ACR_NEMA_DATE.fullmatch(text.strip())
    return text.strip() if found is None else "".join(found.groups())


def plain_time(text: str) -> str:
    """Return a time of day without the separators that DICOM's predecessor had."""
    found = ACR_NEMA_TIME.fullmatch(text.strip())
    return text.strip() if found is None else "".join(part or "" for part in found.groups())


def _zone_text(header: "Dataset") -> str:
    return str(value_of(header, "TimezoneOffsetFromUTC") or "").strip()


def _zone(text: str, field: str) -> timezone:
    found = _offset(text)
    if found is None:
        raise _no_zone(field, text)
    return found


def _offset(text: str) -> timezone | None:
    found = ZONE.fullmatch(text)
    if found is None:
        return None
    sign, hours, minutes = found.groups()
    offset = timedelta(hours=int(hours), minutes=int(minutes))
    if int(minutes) >= 60 or offset > WIDEST_ZONE:
        return None
    return timezone(-offset if sign == "-" else offset)


def _no_zone(field: str, text: str) -> VolumeError:
    return VolumeError("implausible_value", f"{field} has {text[:16]!r}, which is no offset from UTC (+0100)")


def _unreadable(field: str, text: str) -> VolumeError:
    return VolumeError("implausible_value", f"{field} cannot be read as a time: it is {text[:32]!r}")
