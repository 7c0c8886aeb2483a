"""The names of W&B artifacts: `entity/project/name:version`, the version a number, an alias or left out."""

import re
from dataclasses import dataclass

FULL_NAME = re.compile(
    r"(?P<entity>[^/:\s]+)/(?P<project>[^/:\s]+)/(?P<name>[^/:\s]+)(:(?P<version>[^/:\s]+))?"
)
PINNED = re.compile(r"v\d+")
LATEST = "latest"


@dataclass(frozen=True)
class ArtifactName:
    """An artifact's name in full; `version` is `v` and a number, or an alias."""

    entity: str
    project: str
    name: str
    version: str = LATEST

    @property
    def is_pinned(self) -> bool:
        """Say whether the version is a number, which never comes to mean another content."""
        return PINNED.fullmatch(self.version) is not None

    def pinned(self, version: str) -> "ArtifactName":
        """Return the name with another version."""
        return ArtifactName(self.entity, self.project, self.name, version)

    def __str__(self) -> str:
        return f"{self.entity}/{self.project}/{self.name}:{self.version}"


def parse_artifact_name(text: str) -> ArtifactName:
    """Read a name; raises `ValueError` where it is not in full, or could lead out of a folder."""
    found = FULL_NAME.fullmatch(text)
    parts = {part: value for part, value in found.groupdict().items() if value} if found else {}
    if not parts or {".", ".."} & set(parts.values()):
        raise ValueError(f"{text!r} is not the name of an artifact in full, entity/project/name:version")
    return ArtifactName(**parts)
