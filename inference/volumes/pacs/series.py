"""Which PET series a PACS has: of a study, or of the studies of a patient and of some dates (QIDO-RS)."""

from collections import Counter
from dataclasses import dataclass

from dicomweb_client.web import DICOMwebClient

from inference.errors import PacsError
from inference.volumes.pacs.answers import (
    SERIES_UID,
    STUDY_UID,
    Row,
    is_uid,
    no_dicomweb,
    search,
    text,
    uid,
    value,
)

MODALITY, STUDY_DATE, DESCRIPTION, IMAGES = "00080060", "00080020", "0008103E", "00201209"
FIELDS = ("Modality", "StudyDate", "SeriesDescription", "NumberOfSeriesRelatedInstances")

NOT_THERE = (400, 404, 405)
"""What some answer that do not know a study, and others that know nothing of DICOMweb."""


@dataclass(frozen=True)
class PetSeries:
    """A series of PET images; `images` is None where the PACS does not count them."""

    study_uid: str
    uid: str
    date: str = ""
    images: int | None = None
    description: str = ""


def series_of_study(client: DICOMwebClient, study_uid: str) -> list[PetSeries]:
    """Return the PET series of a study; raises `PacsError` where there is no such study, or none in it."""
    _check_uid(study_uid, "the study")
    rows = _series_rows(client, study_uid)
    if not rows:
        raise _nothing_found(client, study_uid)
    series = [_series(row, study_uid) for row in rows if value(row, MODALITY) == "PT"]
    if not series:
        others = Counter(text(row, MODALITY)[:16] or "none" for row in rows)
        held = ", ".join(f"{number} {modality}" for modality, number in sorted(others.items()))
        raise PacsError(f"the study has no PET series (modality PT), but {held}: name another study")
    return series


def choose_series(series: list[PetSeries], series_uid: str | None) -> PetSeries:
    """Return the series that is named, or the only one; raises `PacsError` where it has to be named."""
    if series_uid is not None:
        _check_uid(series_uid, "--series")
        series = [one for one in series if one.uid == series_uid]
        if not series:
            raise PacsError("the study has no PET series of the --series UID: see `pacs query --study`")
    if len(series) > 1:
        named = ", ".join(f"{one.uid} ({_count(one)})" for one in series)
        raise PacsError(f"the study has {len(series)} PET series, name one with --series: {named}")
    return series[0]


def find_series(
    client: DICOMwebClient, *, patient: str | None, dates: str | None, limit: int
) -> tuple[list[PetSeries], bool]:
    """Return the PET series of some studies, and whether there may be more than the `limit` studies.

    `patient` is a patient ID, `dates` a day or two as YYYYMMDD-YYYYMMDD.
    """
    question = {"ModalitiesInStudy": "PT", "PatientID": patient, "StudyDate": dates}
    filters = {name: wanted for name, wanted in question.items() if wanted is not None}
    rows = search(client.search_for_studies, search_filters=filters, limit=limit + 1)
    studies = list(dict.fromkeys(uid(row, STUDY_UID) for row in rows))
    found = [
        _series(row, study)
        for study in studies[:limit]
        for row in _series_rows(client, study)
        if value(row, MODALITY) == "PT"
    ]
    return found, len(studies) > limit


def _series_rows(client: DICOMwebClient, study_uid: str) -> list[Row]:
    try:
        rows = search(client.search_for_series, study_uid, fields=FIELDS)
    except PacsError as error:
        if error.status in NOT_THERE:
            return []
        raise
    if any(value(row, SERIES_UID) is None for row in rows):
        raise no_dicomweb()
    return rows


def _nothing_found(client: DICOMwebClient, study_uid: str) -> PacsError:
    """Tell a study that is not there from a server that is no PACS."""
    try:
        studies = search(client.search_for_studies, search_filters={"StudyInstanceUID": study_uid}, limit=1)
        if studies and value(studies[0], STUDY_UID) is None:
            return no_dicomweb()
    except PacsError as error:
        return no_dicomweb() if error.status in NOT_THERE else error
    return PacsError("the PACS has no such study: check the study's UID, or search with `pacs query`")


def _series(row: Row, study_uid: str) -> PetSeries:
    images = value(row, IMAGES)
    return PetSeries(
        study_uid,
        uid(row, SERIES_UID),
        text(row, STUDY_DATE),
        images if isinstance(images, int) else None,
        text(row, DESCRIPTION),
    )


def _count(series: PetSeries) -> str:
    return "images not counted" if series.images is None else f"{series.images} images"


def _check_uid(text: str, what: str) -> None:
    if not is_uid(text):
        raise PacsError(
            f"{what} has to be named by its UID, numbers with dots between them: `pacs query` lists them"
        )
