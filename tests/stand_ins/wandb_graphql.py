"""The W&B test server's GraphQL: an answer for every operation that the SDK sends, by its name.

Operations as wandb 0.31 sends them, from `wandb/sdk/artifacts/_generated/operations.py` for what
Python asks and from the strings of `wandb/bin/wandb-core` for what its Go process asks.
"""

import re
from collections.abc import Callable

from tests.stand_ins.wandb_answers import (
    TIME,
    Data,
    artifact_url,
    describe_aliases,
    describe_artifact,
    describe_collection,
)
from tests.stand_ins.wandb_store import MANIFEST_FILE, MissingError, Store
from tests.stand_ins.wandb_uploads import Uploads

Variables = Data

OPERATION = re.compile(r"\b(?:query|mutation)\s+(\w+)")


class GraphQL:
    """Answers GraphQL operations from a store; files are named by URLs under `base_url`."""

    def __init__(self, store: Store, base_url: str) -> None:
        self.store = store
        self.base_url = base_url
        self._operations: dict[str, Callable[[Variables], Data]] = {
            "Viewer": self._viewer,
            "ServerFeaturesQuery": lambda _: {"serverInfo": {"features": []}},
            "XXHashDigestsEnabled": lambda _: {"entity": {"xxhashDigestsEnabled": False}},
            "OrganizationCoreWeaveOrganizationID": lambda _: {"entity": {"organization": None}},
            "ArtifactType": self._artifact_type,
            "ArtifactMembershipByName": self._membership,
            "FetchArtifactManifest": self._manifest,
            "ArtifactManifest": self._manifest,
            "GetArtifactMembershipFileUrls": self._file_urls,
            "ArtifactByID": lambda v: {"artifact": describe_artifact(self.store.artifact(v["id"]))},
            **Uploads(store, base_url).operations,
        }

    def answer(self, query: str, variables: Variables) -> Data:
        """Return the response to one request: `data`, or `errors` where it cannot be answered."""
        operation = operation_of(query)
        answer = self._operations.get(operation)
        if answer is None:
            return {"errors": [{"message": f"the test server does not know the operation {operation}"}]}
        try:
            return {"data": answer(variables)}
        except MissingError as error:
            return {"data": None, "errors": [{"message": str(error)}]}

    def knows(self, operation: str) -> bool:
        """Say whether there is an answer to an operation."""
        return operation in self._operations

    def _viewer(self, _: Variables) -> Data:
        entity = self.store.entity
        viewer = {
            "id": "VXNlcjox",
            "entity": entity,
            "username": entity,
            "name": entity,
            "email": f"{entity}@example.org",
            "admin": False,
            "flags": "{}",
            "teams": {"edges": [{"node": {"name": entity}}]},
            "apiKeys": {"edges": []},
        }
        return {"viewer": viewer}

    def _membership(self, variables: Variables) -> Data:
        project = f"{variables['entity']}/{variables['project']}"
        if not any(artifact.collection.startswith(project + "/") for artifact in self.store.artifacts):
            return {"project": None}
        artifact = self.store.find(f"{project}/{variables['name']}")
        if artifact is None:
            return {"project": {"artifactCollectionMembership": None}}
        membership = {
            "__typename": "ArtifactCollectionMembership",
            "id": f"membership-of-{artifact.id}",
            "versionIndex": artifact.version,
            "createdAt": TIME,
            "aliases": describe_aliases(artifact),
            "artifactCollection": describe_collection(artifact),
            "artifact": describe_artifact(artifact),
        }
        return {"project": {"artifactCollectionMembership": membership}}

    def _manifest(self, variables: Variables) -> Data:
        artifact = self.store.artifact(variables.get("id") or variables["artifact_id"])
        url = artifact_url(self.base_url, artifact, MANIFEST_FILE)
        return {"artifact": {"currentManifest": {"file": {"directUrl": url}}}}

    def _file_urls(self, variables: Variables) -> Data:
        collection = f"{variables['entity']}/{variables['project']}/{variables['collection']}"
        artifact = self.store.find(f"{collection}:{variables['alias']}")
        if artifact is None:
            return {"project": {"artifactCollection": None}}
        edges = [
            {
                "node": {
                    "__typename": "File",
                    "name": name,
                    "directUrl": artifact_url(self.base_url, artifact, f"files/{name}"),
                }
            }
            for name in artifact.files
        ]
        page = {"__typename": "PageInfo", "endCursor": None, "hasNextPage": False}
        membership = {"files": {"pageInfo": page, "edges": edges}}
        return {
            "project": {
                "artifactCollection": {"__typename": "ArtifactSequence", "artifactMembership": membership}
            }
        }

    def _artifact_type(self, variables: Variables) -> Data:
        artifact = self.store.find(f"{variables['entity']}/{variables['project']}/{variables['name']}")
        kind = {"artifactType": {"name": artifact.kind}} if artifact else None
        return {"project": {"artifact": kind}}


def operation_of(query: str) -> str:
    """Return the name of a request's operation."""
    found = OPERATION.search(query)
    return found[1] if found else ""
