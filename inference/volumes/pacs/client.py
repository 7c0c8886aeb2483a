"""The DICOMweb client, over a session of this project's."""

import logging

from dicomweb_client.web import DICOMwebClient

from inference.volumes.archive import MAX_FILE_BYTES
from inference.volumes.dicom.headers import quiet
from inference.volumes.pacs.access import Access
from inference.volumes.pacs.session import PacsSession


def open_client(access: Access) -> DICOMwebClient:
    """Return a client that asks the PACS; nothing is sent yet.

    What it sends has a length, so that it can be sent again: it would otherwise come in chunks, once.
    """
    quiet()
    for name in ("dicomweb_client", "requests", "retrying", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # they tell addresses that hold identifiers
    client = DICOMwebClient(
        access.url, session=PacsSession(access), chunk_size=MAX_FILE_BYTES, permissive_uid=True
    )
    client.set_http_retry_params(retry=False)  # the session knows what is worth another attempt
    return client
