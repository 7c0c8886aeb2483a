"""What can go wrong, and whose turn it is to mend it.

SegmentationError
├── ScanError       the client's scan cannot be segmented (HTTP 4xx)
├── ResultsError    results cannot be written (the command line's run stops)
├── PacsError       the PACS cannot be reached, or refuses (the command line's run stops)
├── WeightsError    the fold weights cannot be loaded (the start stops)
└── SettingsError   a setting has a bad value (the start stops)
"""

from utils import ScanError, SegmentationError

__all__ = [
    "PacsError",
    "ResultsError",
    "ScanError",
    "SegmentationError",
    "SettingsError",
    "WeightsError",
    "shown",
]

MOST_SHOWN = 15
"""Fewer characters than an API key has (`settings.URL_SAFE_KEY`): not even its beginning is ever quoted."""


def shown(text: str) -> str:
    """Return a sender's text as it may stand in a message: quoted and escaped, or how long it is."""
    return repr(text) if len(text) <= MOST_SHOWN else f"(a text of {len(text):,} characters)"


class ResultsError(SegmentationError):
    """Results cannot be written; the message names their folder and says what to do."""


class PacsError(SegmentationError):
    """The PACS cannot be used; the message says what to do, and names no patient.

    `status` is that of its answer, None where there was no answer.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class WeightsError(SegmentationError):
    """The fold weights cannot be used; the message tells the operator what to do."""


class SettingsError(SegmentationError):
    """A setting has a bad value; the message names it."""
