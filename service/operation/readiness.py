"""Whether the service can answer."""

from enum import StrEnum


class State(StrEnum):
    """The states a service goes through."""

    STARTING = "starting"
    """The folds are being loaded."""

    READY = "ready"

    FAILED = "failed"
    """The folds could not be loaded, or the engine failed its self-test, which is then repeated."""

    DRAINING = "draining"
    """The service was told to end: what it has taken on is finished, nothing new is taken on."""
