"""Whether the service can answer."""

from enum import StrEnum


class State(StrEnum):
    """The states a service goes through."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"
