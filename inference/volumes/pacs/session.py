"""HTTP with the PACS: each answer whole, bounded in size and time, and every fault one sentence."""

import io
import time
from typing import Any

import requests
import urllib3
from requests import exceptions as faults

from inference.errors import PacsError
from inference.volumes.archive import MAX_FILE_BYTES
from inference.volumes.pacs.access import PASSWORD, TOKEN, Access

ATTEMPTS = 3
WAITS_S = (0.5, 2.0)
"""Before the second and the third attempt."""

PASSING = frozenset({408, 429, 502, 503, 504})
"""The statuses of a server that may answer in a moment."""

MAX_ANSWER_S = 600
CHUNK_BYTES = 65536
CONNECT_S = 10


class PacsSession(requests.Session):
    """A session whose requests are repeated where the connection breaks off, and raise `PacsError`.

    To repeat is harmless: questions change nothing, and what is stored has an identifier of its own.
    """

    def __init__(self, access: Access) -> None:
        super().__init__()
        self.access = access
        self.auth = _Authorization(access)  # a .netrc would be asked where there is none

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """Return an answer that has been read whole; raises `PacsError` for all but success."""
        kwargs |= {
            "stream": True,
            "allow_redirects": False,  # to where the password does not belong
            "timeout": (min(CONNECT_S, self.access.timeout_s), self.access.timeout_s),
            "verify": None if self.access.ca_bundle is None else str(self.access.ca_bundle),
        }
        for wait_s in (*WAITS_S, None):
            try:
                response = _read_whole(super().request(method, url, *args, **kwargs))
                if response.status_code not in PASSING:
                    break
                fault = self._refusal(response.status_code)
            except (faults.RequestException, urllib3.exceptions.HTTPError) as error:
                fault = self._broken(error)
                if not _may_pass(error):
                    raise fault from None
            if wait_s is None:
                raise fault from None
            time.sleep(wait_s)
        if not 200 <= response.status_code < 300:
            raise self._refusal(response.status_code)
        return response

    def _refusal(self, status: int) -> PacsError:
        if status == 401:
            return PacsError(self._who_asks(), status)
        if status == 403:
            sentence = "does not allow this: ask its keeper for the right to query, retrieve and store"
        elif 300 <= status < 400:
            sentence = "points elsewhere: give the address of its DICOMweb service itself"
        elif status == 404:
            sentence = "has nothing at this address: give that of its DICOMweb service, and see whether the "
            sentence += "study is there with `pacs query`"
        elif status < 500 and status not in PASSING:
            sentence = "refuses the request: its log says why"
        else:
            sentence = "is busy or has a fault: try again later, or look into its log"
        return PacsError(f"the PACS at {self.access.server} {sentence} (HTTP {status})", status)

    def _who_asks(self) -> str:
        if self.access.secret is None:
            return (
                f"the PACS wants to know who asks: give --user and set {PASSWORD}, or set {TOKEN} (HTTP 401)"
            )
        if self.access.user is None:
            return f"the PACS does not accept the token: set {TOKEN} anew (HTTP 401)"
        return f"the PACS does not accept user and password: check --user and {PASSWORD} (HTTP 401)"

    def _broken(self, error: Exception) -> PacsError:
        at = f"the PACS at {self.access.server}"
        if isinstance(error, faults.SSLError):
            return PacsError(
                f"{at} has no certificate that is trusted here: name its authority's file with --ca-bundle"
            )
        if _is_unreachable(error):
            return PacsError(f"{at} cannot be reached: see whether it runs, and check the address")
        if isinstance(error, faults.Timeout | urllib3.exceptions.TimeoutError):
            return PacsError(
                f"{at} was silent for {self.access.timeout_s:g} s: try again, or give a longer --timeout"
            )
        if _may_pass(error):
            return PacsError(
                f"the connection to {at.removeprefix('the ')} broke off {ATTEMPTS} times: try again"
            )
        return PacsError(f"{at} cannot be asked ({type(error).__name__}): check the address")


class _Authorization(requests.auth.AuthBase):
    def __init__(self, access: Access) -> None:
        self.access = access

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self.access.secret is None:
            return request
        secret = self.access.secret.get_secret_value()
        if self.access.user is not None:
            return requests.auth.HTTPBasicAuth(self.access.user.encode(), secret.encode())(request)
        request.headers["Authorization"] = f"Bearer {secret}"
        return request


def _read_whole(response: requests.Response) -> requests.Response:
    """Take an answer's body into memory, no more of it than a file may have."""
    raw, content, ends = response.raw, bytearray(), time.monotonic() + MAX_ANSWER_S
    while chunk := raw.read1(CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > MAX_FILE_BYTES or time.monotonic() > ends:
            raw.close()
            raise PacsError(
                f"an answer of the PACS has more than {MAX_FILE_BYTES / 1e6:.0f} MB, or takes more than "
                f"{MAX_ANSWER_S / 60:.0f} min: it is given up"
            )
    response.raw = io.BytesIO(content)
    return response


def _may_pass(error: Exception) -> bool:
    """Say whether the same request may fare better in a moment."""
    if isinstance(error, faults.SSLError | faults.ProxyError):
        return False
    lost = (faults.ConnectionError, faults.Timeout, faults.ChunkedEncodingError)
    return isinstance(error, (*lost, urllib3.exceptions.ProtocolError, urllib3.exceptions.TimeoutError))


def _is_unreachable(error: Exception) -> bool:
    if isinstance(error, faults.ConnectTimeout | faults.ProxyError):
        return True
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, urllib3.exceptions.NewConnectionError)
