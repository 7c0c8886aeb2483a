"""What was found goes back into the study (STOW-RS), each object once, and no store is half a success."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dicomweb_client.web import DICOMwebClient

from inference.errors import PacsError
from inference.volumes.pacs.answers import IMAGE_UID, search, value

if TYPE_CHECKING:
    from pydicom import Dataset

UNAUTHORIZED = (401, 403)
SHOWN_WITHIN_S = (0.5, 2.0, 5.0)
"""How long a PACS may take to list what it has taken: some do that in the background."""


def store_images(client: DICOMwebClient, images: "Sequence[Dataset]") -> int:
    """Store the images that the PACS does not have yet, and return how many those were.

    Raises `PacsError` where one of them is not there in the end: it says how many are.
    """
    new = 0
    for done, image in enumerate(images):
        try:
            if not _is_there(client, image):
                _store(client, image)
                new += 1
        except PacsError as error:
            raise PacsError(
                f"the store is incomplete, {done} of {len(images)} objects are in the PACS: {error}; run the "
                "command again after that, and it stores what is missing",
                error.status,
            ) from None
    return new


def _store(client: DICOMwebClient, image: "Dataset") -> None:
    """Store an image; what the PACS shows in the end is stored, and nothing else, whatever it answers."""
    refusal = PacsError("the PACS takes what is sent and does not keep it: its log says why")
    try:
        client.store_instances([image], study_instance_uid=image.StudyInstanceUID)
    except PacsError as error:
        if error.status in UNAUTHORIZED or error.status is None:
            raise
        refusal = PacsError(
            f"the PACS refuses to store (HTTP {error.status}): its log says why", error.status
        )
    except Exception:  # an answer that cannot be read says nothing of what was stored
        pass
    for wait_s in (*SHOWN_WITHIN_S, None):
        if _is_there(client, image):
            return
        if wait_s is None or refusal.status is not None:
            raise refusal
        time.sleep(wait_s)


def _is_there(client: DICOMwebClient, image: "Dataset") -> bool:
    try:
        rows = search(
            client.search_for_instances,
            image.StudyInstanceUID,
            image.SeriesInstanceUID,
            search_filters={"SOPInstanceUID": image.SOPInstanceUID},
        )
    except PacsError as error:
        if error.status == 404:  # of some servers: the series is not there yet
            return False
        raise
    return any(value(row, IMAGE_UID) == image.SOPInstanceUID for row in rows)
