"""What a PACS answers to a search: rows of DICOM JSON, which are checked before they are believed."""

import re
from collections.abc import Callable
from typing import Any

from inference.errors import PacsError

Row = dict[str, Any]

UID = re.compile(r"[0-9]+(\.[0-9]+)+")
MAX_UID_LENGTH = 64
STUDY_UID, SERIES_UID, IMAGE_UID = "0020000D", "0020000E", "00080018"


def search(ask: Callable[..., object], *uids: str, **question: object) -> list[Row]:
    """Return the rows that a search of the client gives; raises `PacsError` where they are none."""
    try:
        rows = ask(*uids, **question)
    except (ValueError, TypeError, KeyError):
        raise no_dicomweb() from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise no_dicomweb()
    return rows


def value(row: Row, tag: str) -> Any:
    """Return the first value of an attribute, None where it is absent or empty."""
    held = row.get(tag)
    values = held.get("Value") if isinstance(held, dict) else None
    return values[0] if isinstance(values, list) and values else None


def uid(row: Row, tag: str) -> str:
    """Return an identifier that every row has to have; raises `PacsError` where it is missing."""
    found = value(row, tag)
    if not isinstance(found, str) or not is_uid(found):
        raise no_dicomweb()
    return found


def text(row: Row, tag: str) -> str:
    """Return an attribute as text of one line that a terminal only shows."""
    found = value(row, tag)
    words = str("" if found is None else found).split()
    return "".join(sign for sign in " ".join(words) if sign.isprintable())


def is_uid(text: str) -> bool:
    """Say whether a text has the form of a DICOM UID."""
    return len(text) <= MAX_UID_LENGTH and UID.fullmatch(text) is not None


def no_dicomweb() -> PacsError:
    """Return what is said of a server that answers, and does not as DICOMweb does."""
    return PacsError(
        "the server's answer is none of DICOMweb: give the address of its DICOMweb service, which often ends "
        "in /dicom-web or /rs"
    )
