"""Errors as the SDK raises them; test_artifacts.py has those that a server provokes."""

from types import SimpleNamespace

import pytest

from inference.artifact_names import parse_artifact_name
from inference.weights.wandb_errors import explain

NAME = parse_artifact_name("team/project/fold0:v3")


class AnsweredError(Exception):
    """An error that an answer with an HTTP status caused, as the SDK's own process reports it."""

    def __init__(self, status: int) -> None:
        super().__init__("no access")
        self.response = SimpleNamespace(http_status=status)


class TransportError(OSError):
    """An error of the transport of files, as `requests` raises it."""

    def __init__(self, status: int) -> None:
        super().__init__("no access")
        self.response = SimpleNamespace(status_code=status)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (AnsweredError(403), "may not read the artifact team/project/fold0:v3 (HTTP 403)"),
        (AnsweredError(404), "does not answer as W&B does (HTTP 404)"),
        (TransportError(401), "may not read the artifact team/project/fold0:v3 (HTTP 401)"),
        (OSError(28, "No space left on device"), "cannot be written"),
    ],
    ids=["403", "404", "401 of a file", "no room"],
)
def test_what_goes_wrong_is_no_matter_of_the_network(error: Exception, reason: str) -> None:
    explained = explain(error, NAME)
    assert reason in explained["error"]
    assert not explained["unreachable"]
