"""The W&B test server's answers to who publishes: new artifacts, their files, runs."""

import json
from collections.abc import Callable
from urllib.parse import quote

from tests.stand_ins.wandb_answers import Data, artifact_url, describe_artifact, describe_run, state_of
from tests.stand_ins.wandb_store import MANIFEST_FILE, Store, StoredArtifact

Variables = Data


class Uploads:
    """Changes a store as GraphQL mutations ask, and says where files are to be sent."""

    def __init__(self, store: Store, base_url: str) -> None:
        self.store = store
        self.base_url = base_url
        self.operations: dict[str, Callable[[Variables], Data]] = {
            "ClientIDMapping": self._client_id,
            "CreateArtifact": self._create_artifact,
            "CreateArtifactManifest": self._create_manifest,
            "UpdateArtifactManifest": self._update_manifest,
            "CreateArtifactFiles": self._create_artifact_files,
            "CommitArtifact": self._commit,
            "UpdateArtifact": self._update_artifact,
            "AddAliases": self._add_aliases,
            "DeleteAliases": self._delete_aliases,
            "UpsertBucket": self._upsert_run,
            "RunResumeStatus": self._resume_status,
            "CreateRunFiles": self._create_run_files,
            "MarkRunFilesUploaded": lambda _: {"markRunFilesUploaded": {"success": True}},
        }
        self._client_ids: dict[str, str] = {}

    def _client_id(self, variables: Variables) -> Data:
        server_id = self._client_ids.get(variables["clientID"])
        return {"clientIDMapping": {"serverID": server_id} if server_id else None}

    def _create_artifact(self, variables: Variables) -> Data:
        wanted = variables.get("input") or variables
        (name,) = wanted.get("artifactCollectionNames") or [wanted["artifactCollectionName"]]
        collection = f"{wanted['entityName']}/{wanted['projectName']}/{name}"
        artifact = self.store.create_artifact(
            collection,
            wanted["artifactTypeName"],
            wanted["digest"],
            [alias["alias"] for alias in wanted.get("aliases") or []],
            json.loads(wanted.get("metadata") or "{}"),
        )
        artifact.description = wanted.get("description") or artifact.description
        if wanted.get("clientID"):
            self._client_ids[wanted["clientID"]] = artifact.id
        versions = self.store.versions(collection)
        latest = {"id": versions[-1].id, "versionIndex": versions[-1].version} if versions else None
        created = {
            "id": artifact.id,
            "state": state_of(artifact),
            "artifactSequence": {"id": f"sequence-of-{collection}", "latestArtifact": latest},
        }
        return {"createArtifact": {"artifact": created}}

    def _create_manifest(self, variables: Variables) -> Data:
        artifact = self.store.artifact(variables["artifactID"])
        return {"createArtifactManifest": {"artifactManifest": self._manifest_upload(artifact)}}

    def _update_manifest(self, variables: Variables) -> Data:
        artifact = self.store.artifact(variables["artifactManifestID"])
        return {"updateArtifactManifest": {"artifactManifest": self._manifest_upload(artifact)}}

    def _manifest_upload(self, artifact: StoredArtifact) -> Data:
        url = artifact_url(self.base_url, artifact, MANIFEST_FILE)
        return {"id": artifact.id, "file": {"id": artifact.id, "uploadUrl": url, "uploadHeaders": []}}

    def _create_artifact_files(self, variables: Variables) -> Data:
        edges = []
        for wanted in variables["input"]["artifactFiles"]:
            artifact = self.store.artifact(wanted["artifactID"])
            node: Data = {
                "storagePath": f"files/{wanted['name']}",
                "uploadUrl": artifact_url(self.base_url, artifact, f"files/{wanted['name']}"),
                "uploadHeaders": [],
                "uploadMultipartUrls": None,
                "artifact": {"id": artifact.id},
            }
            edges.append({"node": node})
        return {"createArtifactFiles": {"files": {"edges": edges}}}

    def _commit(self, variables: Variables) -> Data:
        artifact = self.store.commit(variables["artifactID"])
        return {"commitArtifact": {"artifact": {"id": artifact.id, "digest": artifact.digest}}}

    def _update_artifact(self, variables: Variables) -> Data:
        wanted = variables.get("input") or variables
        artifact = self.store.artifact(wanted["artifactID"])
        if wanted.get("metadata") is not None:
            artifact.metadata = json.loads(wanted["metadata"])
        if wanted.get("description") is not None:
            artifact.description = wanted["description"]
        updated = {"artifact": describe_artifact(artifact)}
        return {"updateArtifact": updated, "result": updated}  # wandb-core asks for one, Python for the other

    def _add_aliases(self, variables: Variables) -> Data:
        wanted = variables["input"]
        artifact = self.store.artifact(wanted["artifactID"])
        self.store.move_aliases(artifact, [alias["alias"] for alias in wanted["aliases"]])
        return {"result": {"success": True}}

    def _delete_aliases(self, variables: Variables) -> Data:
        wanted = variables["input"]
        artifact = self.store.artifact(wanted["artifactID"])
        for alias in wanted["aliases"]:
            artifact.aliases.remove(alias["alias"])
        return {"result": {"success": True}}

    def _upsert_run(self, variables: Variables) -> Data:
        entity = variables.get("entity") or self.store.entity
        project = variables.get("project") or "uncategorized"
        known = len(self.store.runs)
        run = self.store.run(entity, project, variables["name"])
        run.display_name = variables.get("displayName") or run.display_name or run.name
        run.config = json.loads(variables.get("config") or "null") or run.config
        run.summary = json.loads(variables.get("summaryMetrics") or "null") or run.summary
        inserted = len(self.store.runs) > known
        return {"upsertBucket": {"bucket": describe_run(run), "inserted": inserted}}

    def _resume_status(self, variables: Variables) -> Data:
        entity = variables.get("entity") or self.store.entity
        known = any(run.name == variables["name"] for run in self.store.runs)
        bucket = None
        if known:
            run = self.store.run(entity, variables["project"], variables["name"])
            bucket = describe_run(run) | {
                "summaryMetrics": json.dumps(run.summary),
                "logLineCount": len(run.console),
                "eventsLineCount": 0,
                "historyTail": json.dumps([json.dumps(line) for line in run.history[-1:]]),
                "eventsTail": "[]",
                "tags": [],
                "notes": None,
                "wandbConfig": json.dumps({"t": 1}),
            }
        owner = {"id": entity, "name": entity}
        project = variables["project"]
        return {"model": {"id": project, "name": project, "entity": owner, "bucket": bucket}}

    def _create_run_files(self, variables: Variables) -> Data:
        run = self.store.run(variables["entity"], variables["project"], variables["run"])
        path = f"{self.base_url}/storage/runs/{run.entity}/{run.project}/{run.name}"
        files = [{"name": name, "uploadUrl": f"{path}/{quote(name)}"} for name in variables["files"]]
        return {"createRunFiles": {"runID": run.id, "uploadHeaders": [], "files": files}}
