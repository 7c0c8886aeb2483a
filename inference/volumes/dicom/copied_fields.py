"""What of a series' header is copied into the files that are written: each value valid, or left out.

A stranger's header has whatever its programs let through, and the writer takes none of that. A value
that means the same in another form is put into that form; of any other, the name alone is told.
"""

from collections.abc import Callable, MutableSequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from inference.volumes.dicom.moments import plain_date, plain_time
from inference.volumes.lazy_import import IMPORT_LOCK

if TYPE_CHECKING:
    from pydicom import Dataset

KINDS = {
    "PatientID": "LO",
    "PatientName": "PN",
    "PatientBirthDate": "DA",
    "PatientSex": "CS",
    "AccessionNumber": "SH",
    "StudyID": "SH",
    "StudyDate": "DA",
    "StudyTime": "TM",
    "ReferringPhysicianName": "PN",
}
"""The fields, and by which value representation each is judged (DICOM PS3.5 6.2)."""

SEXES = {"M": "M", "MALE": "M", "F": "F", "FEMALE": "F", "O": "O", "OTHER": "O"}
UTF_8 = "ISO_IR 192"


@dataclass(frozen=True)
class CopiedFields:
    """Texts by field, None for what is empty or left out; the character set that they can be written in."""

    texts: dict[str, str | None]
    character_set: str | None
    left_out: tuple[str, ...]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Return a sentence for each field that is left out; its content is nowhere in it."""
        return tuple(
            f"the series' {field} is no valid {KINDS[field]} of DICOM, and is left out of the DICOM files"
            for field in self.left_out
        )


def copy_fields(header: "Dataset") -> CopiedFields:
    """Return what of a header can be written again."""
    texts: dict[str, str | None] = {}
    left_out = []
    for field, kind in KINDS.items():
        try:
            text = _text(header, field)
            texts[field] = None if text is None else _valid(field, kind, text)
        except Exception:  # whatever a damaged value leads to, and its message may quote it
            texts[field] = None
            left_out.append(field)
    return CopiedFields(texts, _character_set(header, texts), tuple(left_out))


def _text(header: "Dataset", field: str) -> str | None:
    value = header.get(field)
    if isinstance(value, MutableSequence):
        raise ValueError("several values")
    text = "" if value is None else str(value).strip(" \0")
    return text or None


def _valid(field: str, kind: str, text: str) -> str:
    """Return a text in the form that its kind asks for; raises `ValueError` where it has no such form."""
    with IMPORT_LOCK:
        from pydicom import config
        from pydicom.valuerep import DA, TM, validate_value

    forms: dict[str, Callable[[str], str]] = {"DA": plain_date, "TM": plain_time}
    text = forms.get(kind, str)(text)
    if field == "PatientSex":
        text = SEXES.get(text.upper(), "")
        if not text:
            raise ValueError("none of M, F and O")
    if "\\" in text or not text.isprintable():
        raise ValueError("signs that control a terminal")
    validate_value(kind, text, config.RAISE)
    if kind == "DA":
        DA(text)  # a day that there is
    if kind == "TM":
        TM(text)
    return text


def _character_set(header: "Dataset", texts: dict[str, str | None]) -> str | None:
    """Return the header's character set where it is a single one that has all signs, or one that has."""
    with IMPORT_LOCK:
        from pydicom.charset import python_encoding

    written = [text for text in texts.values() if text]
    found = header.get("SpecificCharacterSet")
    encoding = python_encoding.get(found) if isinstance(found, str) and found.startswith("ISO_IR") else None
    if encoding is not None and all(_has(encoding, text) for text in written):
        return str(found)
    return None if all(text.isascii() for text in written) else UTF_8


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeError, LookupError):
        return False
    return True
