"""deploy/compose.yaml, read by Docker Compose itself."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from inference.settings import Settings
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy"
GRACE_S = Settings.model_fields["shutdown_grace_s"].default


def configuration(*names: str) -> dict[str, Any]:
    """Return what Compose makes of files in `deploy`."""
    if (compose := shutil.which("docker-compose")) is None:
        pytest.skip("Docker Compose is not installed: `uv sync --dev --group deploy`")
    files = [part for name in names for part in ("--file", name)]
    made = subprocess.run(
        [compose, *files, "config", "--format", "json"],
        cwd=DEPLOY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    read: dict[str, Any] = json.loads(made.stdout)
    return read


def test_every_service_is_hardened_and_bounded() -> None:
    for name, service in configuration("compose.yaml")["services"].items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"cpus", "memory", "pids"} <= service["deploy"]["resources"]["limits"].keys(), name
        assert service["healthcheck"], name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", [])), name


def test_the_service_has_its_keys_from_secrets_and_time_to_end() -> None:
    service = configuration("compose.yaml")["services"]["service"]
    assert "API_KEY" not in service["environment"]
    named = {secret["source"] for secret in service["secrets"]}
    assert named == {"api_key", "prometheus_key"}
    assert all(f"/run/secrets/{name}" in service["entrypoint"][-1] for name in named)
    assert service["entrypoint"][-1].endswith("exec python api.py")
    assert int(service["stop_grace_period"].removesuffix("s")) > GRACE_S


def test_keys_of_the_secrets_reach_the_service(tmp_path: Path) -> None:
    script = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["service"]["entrypoint"][-1]
    for name in ("api_key", "prometheus_key"):
        (tmp_path / name).write_text(f"of-{name}\n")
    script = script.replace("$$", "$").replace("/run/secrets", str(tmp_path))
    said = subprocess.run(
        ["sh", "-c", script.replace("python api.py", "printenv API_KEY")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "of-api_key,of-prometheus_key\n"


def test_prometheus_and_grafana_find_what_they_show() -> None:
    services = configuration("compose.yaml")["services"]
    for name in ("prometheus", "grafana"):
        for volume in services[name]["volumes"]:
            assert volume["type"] == "volume" or Path(volume["source"]).is_file(), volume
    (job,) = yaml.safe_load((DEPLOY / "monitoring" / "prometheus.compose.yml").read_text())["scrape_configs"]
    (target,) = job["static_configs"][0]["targets"]
    assert target == f"service:{services['service']['ports'][0]['target']}"
    assert job["authorization"]["credentials_file"] == "/run/secrets/prometheus_key"
    (source,) = yaml.safe_load((DEPLOY / "monitoring" / "grafana" / "datasource.yml").read_text())[
        "datasources"
    ]
    assert source["url"] == "http://prometheus:9090"
    assert source["isDefault"]
    (provider,) = yaml.safe_load((DEPLOY / "monitoring" / "grafana" / "dashboards.yml").read_text())[
        "providers"
    ]
    shown = {volume["target"] for volume in services["grafana"]["volumes"]}
    assert f"{provider['options']['path']}/service.json" in shown


def test_a_card_is_asked_for_where_there_is_to_be_one() -> None:
    service = configuration("compose.yaml", "compose.cuda.yaml")["services"]["service"]
    assert service["build"]["target"] == "cuda"
    (device,) = service["deploy"]["resources"]["reservations"]["devices"]
    assert device["driver"] == "nvidia"
    assert service["read_only"]
