from pathlib import Path

import pytest

from inference.errors import PacsError
from inference.volumes.pacs.access import read_access

URL = "https://pacs.example.org/dicom-web/"


def test_secrets_come_from_the_environment_and_are_shown_nowhere() -> None:
    both = {"PACS_PASSWORD": "the password", "PACS_TOKEN": " the.token\n"}
    for user, expected in (("me", "the password"), (None, "the.token")):
        access = read_access(URL, user, None, 30, both)
        assert access.secret is not None
        assert (access.secret.get_secret_value(), access.url) == (expected, URL.rstrip("/"))
        assert expected not in repr(access)
    assert read_access(URL, None, None, 30, {}).secret is None


@pytest.mark.parametrize(
    ("url", "user", "environment", "sentence"),
    [
        (URL, "me", {}, "--user needs a password: set PACS_PASSWORD"),
        (URL, None, {"PACS_PASSWORD": "hidden"}, "no user is named: give --user"),
        (URL, None, {"PACS_TOKEN": "hid\nden"}, "PACS_TOKEN has characters that no token has"),
        ("https://me:hidden@pacs.example.org", None, {}, "holds a user or password"),
        ("ftp://pacs.example.org", None, {}, "the PACS' address is none"),
        ("https://pacs.example.org:port", None, {}, "the PACS' address is none"),
        ("https://pacs.example.org/a?token=hidden", None, {}, "the PACS' address is none"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_is_sent(
    url: str, user: str | None, environment: dict[str, str], sentence: str
) -> None:
    with pytest.raises(PacsError, match=sentence) as caught:
        read_access(url, user, None, 30, environment)
    assert "hid" not in str(caught.value)


def test_a_password_in_clear_is_noticed() -> None:
    secret = {"PACS_TOKEN": "a.token"}
    for url, environment, in_clear in (
        ("http://pacs.example.org", secret, True),
        ("https://pacs.example.org", secret, False),
        ("http://127.0.0.1:8042/dicom-web", secret, False),
        ("http://pacs.example.org", {}, False),
    ):
        assert read_access(url, None, Path("ca.pem"), 30, environment).sends_secret_in_clear is in_clear
