"""A series fetched image by image (WADO-RS), so that a dropped connection costs one image."""

import io
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dicomweb_client.web import DICOMwebClient

from inference.errors import PacsError
from inference.volumes.archive import check_limits
from inference.volumes.pacs.answers import IMAGE_UID, search, uid
from inference.volumes.pacs.series import PetSeries

if TYPE_CHECKING:
    from pydicom import Dataset

PAGE = 1000
UNCOMPRESSED, AS_STORED = "1.2.840.10008.1.2.1", "*"
NOT_ACCEPTABLE = (400, 406, 501)
"""What servers answer that cannot unpack an image."""


def list_images(client: DICOMwebClient, series: PetSeries) -> list[str]:
    """Return the UIDs of a series' images, page by page, whatever the size of a server's pages is.

    Raises `PacsError` where the PACS lists fewer than it counts, and `VolumeError` where there are more than
    are read of a folder.
    """
    found: dict[str, None] = {}
    while True:
        rows = search(
            client.search_for_instances, series.study_uid, series.uid, limit=PAGE, offset=len(found)
        )
        new = dict.fromkeys(uid(row, IMAGE_UID) for row in rows).keys() - found.keys()
        if not new:
            break
        found |= dict.fromkeys(new)
        check_limits(len(found), 0, 0)
    if not found:
        raise PacsError("the series has no images: see `pacs query --study`")
    if series.images is not None and len(found) < series.images:
        raise PacsError(
            f"the PACS lists {len(found)} images of the series and counts {series.images} "
            "(NumberOfSeriesRelatedInstances): it limits its answers, or is still taking the series in"
        )
    return sorted(found)


def fetch_images(client: DICOMwebClient, series: PetSeries, image_uids: list[str]) -> Iterator[bytes]:
    """Yield a series' images as DICOM files, uncompressed where the PACS can do that.

    Raises `PacsError`, and `VolumeError` as soon as they are larger than a folder's may be.
    """
    total, syntax = 0, UNCOMPRESSED
    for image_uid in image_uids:
        try:
            content = _fetch(client, series, image_uid, syntax)
        except PacsError as error:
            if error.status not in NOT_ACCEPTABLE or syntax == AS_STORED:
                raise
            syntax = AS_STORED
            content = _fetch(client, series, image_uid, syntax)
        total += len(content)
        check_limits(len(image_uids), total, len(content))
        yield content


def _fetch(client: DICOMwebClient, series: PetSeries, image_uid: str, syntax: str) -> bytes:
    try:
        with warnings.catch_warnings(action="ignore"):
            image = client.retrieve_instance(
                series.study_uid, series.uid, image_uid, media_types=(("application/dicom", syntax),)
            )
        return as_file(image)
    except PacsError:
        raise
    except Exception as error:  # whatever an answer that is no image leads to
        raise PacsError(
            f"the PACS' answer is no DICOM image ({type(error).__name__}): see whether it serves the series"
        ) from None


def as_file(image: "Dataset") -> bytes:
    """Return an image as a DICOM file's bytes."""
    buffer = io.BytesIO()
    image.save_as(buffer)
    return buffer.getvalue()
