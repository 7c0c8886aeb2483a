"""What the W&B test server holds: artifacts in collections, runs, and the files of both."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

LATEST = "latest"
MANIFEST_FILE = "wandb_manifest.json"


def md5_base64(content: bytes) -> str:
    """Return the digest of a file as manifests have it."""
    return base64.b64encode(hashlib.md5(content).digest()).decode()


class MissingError(Exception):
    """There is nothing of that name."""


@dataclass
class StoredArtifact:
    """One version of an artifact. Its files are those that the manifest lists."""

    id: str
    collection: str  # entity/project/name
    kind: str
    digest: str
    aliases: list[str]
    metadata: dict[str, Any] = field(default_factory=dict)
    description: str | None = None
    version: int | None = None  # None until it is committed
    manifest: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)

    @property
    def entity(self) -> str:
        """Return the user or team that it belongs to."""
        return self.collection.split("/")[0]

    @property
    def project(self) -> str:
        """Return the project that it belongs to."""
        return self.collection.split("/")[1]

    @property
    def name(self) -> str:
        """Return its name without the version."""
        return self.collection.split("/")[2]

    @property
    def full_name(self) -> str:
        """Return entity/project/name:version, as `MODEL_ARTIFACTS` takes it."""
        return f"{self.collection}:v{self.version}"


@dataclass
class StoredRun:
    """One run: what it was started with, and what it logged."""

    id: str
    entity: str
    project: str
    name: str
    display_name: str | None = None
    config: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    console: list[str] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    exit_code: int | None = None


class Store:
    """Artifacts and runs in memory; every method may be called from any thread."""

    def __init__(self, entity: str) -> None:
        self.entity = entity
        self.artifacts: list[StoredArtifact] = []
        self.runs: list[StoredRun] = []
        self._lock = threading.RLock()

    def add_artifact(
        self,
        collection: str,
        files: Mapping[str, bytes | Path],
        *,
        aliases: Iterable[str] = (),
        metadata: Mapping[str, Any] | None = None,
        kind: str = "model",
    ) -> StoredArtifact:
        """Put a committed version of `entity/project/name` into the store, without the SDK."""
        contents = {
            name: file if isinstance(file, bytes) else file.read_bytes() for name, file in files.items()
        }
        entries = {name: {"digest": md5_base64(c), "size": len(c)} for name, c in contents.items()}
        lines = "".join(f"{name}:{entries[name]['digest']}\n" for name in sorted(entries))
        digest = hashlib.md5(b"wandb-artifact-manifest-v1\n" + lines.encode()).hexdigest()
        artifact = self.create_artifact(collection, kind, digest, aliases, dict(metadata or {}))
        artifact.files = contents
        artifact.manifest = json.dumps(
            {
                "version": 1,
                "storagePolicy": "wandb-storage-policy-v1",
                "storagePolicyConfig": {"storageLayout": "V2"},
                "contents": entries,
            }
        ).encode()
        return self.commit(artifact.id)

    def create_artifact(
        self, collection: str, kind: str, digest: str, aliases: Iterable[str], metadata: dict[str, Any]
    ) -> StoredArtifact:
        """Begin a new version, or return the committed one of the same digest."""
        with self._lock:
            for known in self.versions(collection):
                if known.digest == digest:
                    self.move_aliases(known, aliases)
                    return known
            artifact = StoredArtifact(
                id=_global_id("Artifact", len(self.artifacts)),
                collection=collection,
                kind=kind,
                digest=digest,
                aliases=list(aliases),
                metadata=metadata,
            )
            self.artifacts.append(artifact)
            return artifact

    def commit(self, artifact_id: str) -> StoredArtifact:
        """Give a new version its number and aliases, `latest` among them."""
        with self._lock:
            artifact = self.artifact(artifact_id)
            if artifact.version is None:
                artifact.version = len(self.versions(artifact.collection))
                self.move_aliases(artifact, [*artifact.aliases, LATEST])
            return artifact

    def artifact(self, artifact_id: str) -> StoredArtifact:
        """Return the version with an id; raises `MissingError` where there is none."""
        for artifact in self.artifacts:
            if artifact.id == artifact_id:
                return artifact
        raise MissingError(f"there is no artifact {artifact_id}")

    def versions(self, collection: str) -> list[StoredArtifact]:
        """Return the committed versions of an artifact, the oldest first."""
        committed = [a for a in self.artifacts if a.collection == collection and a.version is not None]
        return sorted(committed, key=lambda artifact: artifact.version or 0)

    def find(self, full_name: str) -> StoredArtifact | None:
        """Return the version that `entity/project/name:version` names, by number or alias."""
        collection, _, version = full_name.partition(":")
        for artifact in self.versions(collection):
            if (version or LATEST) in (f"v{artifact.version}", *artifact.aliases):
                return artifact
        return None

    def file_of_digest(self, md5_hex: str) -> bytes | None:
        """Return a file of any artifact by its MD5, as the SDK asks for it with its key."""
        contents = (content for artifact in self.artifacts for content in artifact.files.values())
        return next((c for c in contents if hashlib.md5(c).hexdigest() == md5_hex), None)

    def run(self, entity: str, project: str, name: str) -> StoredRun:
        """Return a run, which is made where it is new."""
        with self._lock:
            for run in self.runs:
                if (run.entity, run.project, run.name) == (entity, project, name):
                    return run
            run = StoredRun(_global_id("Run", len(self.runs)), entity, project, name)
            self.runs.append(run)
            return run

    def move_aliases(self, artifact: StoredArtifact, aliases: Iterable[str]) -> None:
        """Let aliases name a version, and no other of its collection."""
        for alias in aliases:
            for other in self.versions(artifact.collection):
                if alias in other.aliases and other is not artifact:
                    other.aliases.remove(alias)
            if alias not in artifact.aliases:
                artifact.aliases.append(alias)


def _global_id(kind: str, number: int) -> str:
    return base64.b64encode(f"{kind}:{number + 1}".encode()).decode()
