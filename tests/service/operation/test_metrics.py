"""What Prometheus is told, and that what is shipped for it and for Grafana goes with a real run."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.conftest import ROOT, Server, as_base64, file_bytes
from training.phantoms.drawing import Phantom

MONITORING = ROOT / "deploy" / "monitoring"
STAGES = {"queue", "decode", "prepare", "infer", "find", "encode"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def scrape(server: Server) -> Samples:
    """Return every sample of `/metrics`, as the client's own parser reads them."""
    answer = server.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, frozenset(labels.items())), 0)


@pytest.fixture
def asked(server: Server, phantom: Phantom) -> tuple[Samples, Samples]:
    """The metrics before and after a scan and a refusal."""
    before = scrape(server)
    assert server.post("/predict", json={"img": as_base64(file_bytes(phantom.grey))}).status_code == 200
    assert server.post("/predict", json={"img": "no scan"}).status_code == 422
    return before, scrape(server)


def test_a_scan_and_a_refusal_are_counted(asked: tuple[Samples, Samples]) -> None:
    def grew(name: str, **labels: str) -> float:
        before, after = asked
        return value(after, name, **labels) - value(before, name, **labels)

    for status in ("200", "422"):
        assert grew("tumor_requests_total", method="POST", route="/predict", status=status) == 1
    assert grew("tumor_request_seconds_count", route="/predict") == 2
    assert grew("tumor_refused_total", reason="unusable_scan") == 1
    assert grew("tumor_scans_total", views="2") == 1
    assert grew("tumor_share_count") == 1
    for stage in STAGES:
        assert grew("tumor_stage_seconds_count", stage=stage) == 1
        assert grew("tumor_stage_seconds_sum", stage=stage) > 0
    _, after = asked
    assert value(after, "tumor_ready") == 1
    assert value(after, "tumor_scans_waiting") == 0
    assert value(after, "tumor_requests_in_flight") == 1  # the scrape itself


def test_the_model_is_told(server: Server) -> None:
    model = server.get("/api").json()["model"]
    (labels,) = [dict(labels) for name, labels in scrape(server) if name == "tumor_model_info"]
    assert labels["engine"] == model["engine"]
    assert labels["views"].split(",") == model["tta_ops"]
    hashes = [fold["sha256"][:12] for fold in model["folds"]]
    assert [fold.partition(":")[2] for fold in labels["folds"].split(",")] == hashes


def test_whatever_the_dashboard_asks_for_is_there(asked: tuple[Samples, Samples]) -> None:
    dashboard = json.loads((MONITORING / "grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    assert len(queries) >= 10
    names = {name for name, _ in asked[1]}
    labels = {label for _, of_sample in asked[1] for label, _ in of_sample}
    for query in queries:
        wanted = set(re.findall(r"\b(?:tumor|process)_\w+", query))
        assert wanted, query
        assert wanted <= names, query
        for grouped in re.findall(r"by \(([^)]*)\)", query):
            assert {label.strip() for label in grouped.split(",")} <= labels, query


def test_the_scrape_file_is_one_and_names_the_services_port() -> None:
    path = MONITORING / "prometheus.yml"
    content: dict[str, Any] = yaml.safe_load(path.read_text())
    (job,) = content["scrape_configs"]
    assert (job["metrics_path"], job["static_configs"]) == ("/metrics", [{"targets": ["127.0.0.1:9051"]}])
    if promtool := shutil.which("promtool"):
        subprocess.run([promtool, "check", "config", path], check=True, capture_output=True)
