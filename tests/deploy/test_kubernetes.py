"""deploy/kubernetes, put together by kubectl and held against Kubernetes' own schemas."""

import shutil
import subprocess
from typing import Any

import pytest
import yaml

from api import create_app
from inference.settings import Settings
from tests.conftest import ROOT, plain_settings

VERSIONS = ("1.30", "1.37")
"""The oldest that has what is used (a pause before a container is ended), and the newest with a schema."""

LABEL = {"app.kubernetes.io/name": "tumor-segmentation-api"}
USER = 10001


@pytest.fixture(scope="module")
def objects() -> dict[str, Any]:
    """Return the objects by their kind."""
    if (kubectl := shutil.which("kubectl")) is None:
        pytest.skip("kubectl is not installed: `uv sync --dev --group deploy`")
    made = subprocess.run(
        [kubectl, "kustomize", "deploy/kubernetes"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return {document["kind"]: document for document in yaml.safe_load_all(made.stdout)}


@pytest.fixture(scope="module")
def ray_service() -> Any:
    return yaml.safe_load((ROOT / "deploy" / "kubernetes" / "ray" / "rayservice.yaml").read_text())


def pods_of(ray_service: Any) -> list[dict[str, Any]]:
    """Return the pods of a Ray cluster, the head's first."""
    cluster = ray_service["spec"]["rayClusterConfig"]
    return [group["template"]["spec"] for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"])]


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_takes_every_object(objects: dict[str, Any], version: str) -> None:
    schemas = pytest.importorskip("kubernetes_validate")
    assert objects.keys() == {"Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"}
    for item in objects.values():
        assert schemas.validate(item, version, strict=True) == version


def test_objects_find_each_other(objects: dict[str, Any]) -> None:
    deployment = objects["Deployment"]
    assert deployment["spec"]["template"]["metadata"]["labels"] == LABEL
    assert deployment["spec"]["selector"]["matchLabels"] == LABEL
    assert objects["Service"]["spec"]["selector"] == LABEL
    assert objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == LABEL
    target = objects["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]  # or every `apply` would undo what the autoscaler did


def test_probes_ask_what_there_is(objects: dict[str, Any]) -> None:
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    paths = create_app(plain_settings()).openapi()["paths"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"http": plain_settings().port}
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        asked = container[name]["httpGet"]
        assert asked["path"] in paths
        assert asked["port"] in ports
    patience_s = container["livenessProbe"]["periodSeconds"] * container["livenessProbe"]["failureThreshold"]
    assert patience_s > plain_settings().engine_timeout_s


def test_scans_that_were_taken_on_are_answered_first(objects: dict[str, Any]) -> None:
    pod = objects["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    settings = {entry["name"]: entry.get("value") for entry in container["env"]}
    pause_s = container["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod["terminationGracePeriodSeconds"] >= pause_s + float(settings["SHUTDOWN_GRACE_S"]) + 5
    assert {name.lower() for name in settings} <= Settings.model_fields.keys()


def test_no_container_may_do_more_than_it_needs(objects: dict[str, Any], ray_service: Any) -> None:
    for pod in (objects["Deployment"]["spec"]["template"]["spec"], *pods_of(ray_service)):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] == USER
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} == container["resources"]["limits"].keys()
        assert {"/data", "/tmp"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


def test_kubernetes_takes_the_pods_of_ray(ray_service: Any) -> None:
    schemas = pytest.importorskip("kubernetes_validate")
    for spec in pods_of(ray_service):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "ray"}, "spec": spec}
        assert schemas.validate(pod, VERSIONS[-1], strict=True) == VERSIONS[-1]


def test_ray_gets_on_kubernetes_what_it_gets_elsewhere(ray_service: Any) -> None:
    expected = yaml.safe_load((ROOT / "deploy" / "serve.yaml").read_text())
    for application in expected["applications"]:
        del application["runtime_env"]  # the image and the pods have it
    configuration = yaml.safe_load(ray_service["spec"]["serveConfigV2"])
    assert configuration == expected
    for pod in pods_of(ray_service):
        ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
        assert ports["serve"] == configuration["http_options"]["port"]


def test_ray_takes_its_configuration(ray_service: Any) -> None:
    configuration = yaml.safe_load(ray_service["spec"]["serveConfigV2"])
    assert configuration["applications"][0]["import_path"] == "deploy.ray_serve:app"
    schema = pytest.importorskip("ray.serve.schema", exc_type=ImportError)
    schema.ServeDeploySchema.model_validate(configuration)
