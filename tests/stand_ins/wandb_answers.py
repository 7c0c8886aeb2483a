"""The objects of W&B's GraphQL as the test server describes them."""

import json
from typing import Any
from urllib.parse import quote

from tests.stand_ins.wandb_store import StoredArtifact, StoredRun

Data = dict[str, Any]

TIME = "2026-01-01T00:00:00Z"


def artifact_url(base_url: str, artifact: StoredArtifact, path: str) -> str:
    """Return the address of an artifact's manifest or file, for reading and writing."""
    return f"{base_url}/storage/artifacts/{quote(artifact.id, safe='')}/{quote(path)}"


def state_of(artifact: StoredArtifact) -> str:
    """Return an artifact's state."""
    return "PENDING" if artifact.version is None else "COMMITTED"


def describe_aliases(artifact: StoredArtifact) -> list[Data]:
    """Return the aliases of an artifact."""
    return [{"__typename": "ArtifactAlias", "id": alias, "alias": alias} for alias in artifact.aliases]


def describe_collection(artifact: StoredArtifact) -> Data:
    """Return the collection that an artifact is a version of."""
    project = {
        "id": artifact.project,
        "internalId": artifact.project,
        "name": artifact.project,
        "entity": {"name": artifact.entity},
    }
    return {"__typename": "ArtifactSequence", "name": artifact.name, "project": project}


def describe_artifact(artifact: StoredArtifact) -> Data:
    """Return all that the SDK asks of an artifact."""
    collection = describe_collection(artifact)
    return {
        "__typename": "Artifact",
        "id": artifact.id,
        "artifactSequence": collection,
        "versionIndex": artifact.version,
        "artifactType": {"name": artifact.kind},
        "description": artifact.description,
        "metadata": json.dumps(artifact.metadata),
        "ttlDurationSeconds": -2,
        "ttlIsInherited": True,
        "tags": [],
        "historyStep": None,
        "state": state_of(artifact),
        "size": sum(map(len, artifact.files.values())),
        "digest": artifact.digest,
        "digestAlgorithm": "MANIFEST_MD5",
        "commitHash": None,
        "fileCount": len(artifact.files),
        "createdAt": TIME,
        "updatedAt": None,
        "aliases": [alias | {"artifactCollection": collection} for alias in describe_aliases(artifact)],
    }


def describe_run(run: StoredRun) -> Data:
    """Return all that the SDK asks of a run that it starts or changes."""
    project = {
        "id": run.project,
        "name": run.project,
        "entity": {"id": run.entity, "name": run.entity},
    }
    return {
        "id": run.id,
        "name": run.name,
        "displayName": run.display_name,
        "description": None,
        "config": json.dumps(run.config),
        "sweepName": None,
        "project": project,
        "historyLineCount": len(run.history),
    }
