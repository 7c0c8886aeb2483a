"""Where the PACS is, and who asks it: what is checked before anything is sent."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import SecretStr

from inference.errors import PacsError

PASSWORD, TOKEN = "PACS_PASSWORD", "PACS_TOKEN"
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Access:
    """The address of a DICOMweb service, and with what it is asked.

    With a user, `secret` is the password; without one it is a bearer token, or there is none.
    """

    url: str
    user: str | None = None
    secret: SecretStr | None = field(default=None, repr=False)
    ca_bundle: Path | None = None
    timeout_s: float = 30

    @property
    def server(self) -> str:
        """Return host and port, as messages name them."""
        return urlsplit(self.url).netloc

    @property
    def sends_secret_in_clear(self) -> bool:
        """Say whether whoever is on the way to the PACS can read the password."""
        parts = urlsplit(self.url)
        return self.secret is not None and parts.scheme == "http" and parts.hostname not in LOOPBACK


def read_access(
    url: str, user: str | None, ca_bundle: Path | None, timeout_s: float, environment: Mapping[str, str]
) -> Access:
    """Return how to ask the PACS; password and token come from the environment alone.

    Raises `PacsError` where the address is none, or a password is missing.
    """
    _check_url(url)
    secret = environment.get(PASSWORD if user else TOKEN, "")
    if user and not secret:
        raise PacsError(f"--user needs a password: set {PASSWORD} in the environment")
    if not user:
        secret = secret.strip()
        if not (secret.isascii() and secret.isprintable() and " " not in secret):
            raise PacsError(f"{TOKEN} has characters that no token has: set it anew")
        if not secret and environment.get(PASSWORD):
            raise PacsError(f"{PASSWORD} is set, and no user is named: give --user")
    return Access(url.rstrip("/"), user, SecretStr(secret) if secret else None, ca_bundle, timeout_s)


def _check_url(url: str) -> None:
    example = "give the address of its DICOMweb service, such as https://pacs.example.org/dicom-web"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and (parts.port is None or parts.port)
    except ValueError:
        usable = False
    if not usable or parts.query or parts.fragment or not url.isprintable() or " " in url:
        raise PacsError(f"the PACS' address is none: {example}")
    if parts.username is not None or parts.password is not None:
        raise PacsError(f"the PACS' address holds a user or password: give --user, and set {PASSWORD}")
