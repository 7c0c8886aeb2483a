"""The service on Ray Serve: the answers of the plain one, through lost replicas, a lost node, and a flood."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import Any

import httpx
import pytest
import yaml

from tests.conftest import ROOT, Server, as_base64, file_bytes, start_server, stop_server
from tests.ports import free_port
from tests.ray.conftest import DEADLINE_S, TwoNodes, processes
from training.phantoms.drawing import Phantom, make_phantom

pytest.importorskip("ray")

START_S = 180
CLIENTS = 3
FLOOD = 60
SMALL = (120, 96)
REPLICA = "ServeReplica:tests:Ensemble"


@pytest.fixture(scope="module")
def url(nodes: TwoNodes) -> Iterator[str]:
    """The service with two ensembles, one a node, and a queue that a flood fills."""
    from ray import serve

    from deploy.ray_serve import ensemble_deployment, ingress_deployment

    nodes.restore()
    port = free_port()
    serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
    ensemble = ensemble_deployment.options(
        autoscaling_config={"min_replicas": 2, "max_replicas": 2, "target_ongoing_requests": 2},
        max_replicas_per_node=1,
        max_ongoing_requests=2,
        max_queued_requests=6,
        health_check_period_s=1,
    )
    ingress = ingress_deployment.options(
        num_replicas=1, ray_actor_options={"num_cpus": 1, "resources": {"stays": 0.1}}
    )
    serve.run(ingress.bind(ensemble.bind()), name="tests", route_prefix="/")
    address = f"http://127.0.0.1:{port}"
    wait_until_ready(address)
    yield address
    serve.shutdown()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service as it is on one machine, with the same settings."""
    running = start_server(tmp_path_factory.mktemp("plain"), DEADLINE_S=DEADLINE_S)
    yield running
    stop_server(running)


def wait_until_ready(address: str) -> None:
    due = time.monotonic() + START_S
    while httpx.get(f"{address}/health/ready", timeout=30).status_code != 200:
        assert time.monotonic() < due, "the service on Ray was never ready"
        time.sleep(0.2)


def post(url: str, path: str, phantom: Phantom) -> httpx.Response:
    body = {"img": as_base64(file_bytes(phantom.grey))}
    return httpx.post(url + path, json=body, timeout=120)


@pytest.mark.parametrize("seed", range(3))
def test_the_answers_are_those_of_the_plain_service(url: str, plain: Server, seed: int) -> None:
    phantom = make_phantom(seed, lesions=4, size=((489, 400), (300, 210), (426, 400))[seed])
    for path in ("/predict", "/analyze?uncertainty=true"):
        here, there = post(plain.url, path, phantom), post(url, path, phantom)
        assert here.status_code == there.status_code == 200, there.text
        alone, on_ray = here.json(), there.json()
        alone.pop("timings_ms", None)
        on_ray.pop("timings_ms", None)
        assert on_ray == alone
        assert there.headers["X-Views-Used"] == here.headers["X-Views-Used"]


def test_bad_scans_and_metrics_are_as_in_the_plain_service(url: str, plain: Server) -> None:
    for content in ({"json": {"img": "no scan"}}, {"content": b"{", "headers": {"Content-Type": "text/x"}}):
        here = httpx.post(f"{plain.url}/predict", **content)
        there = httpx.post(f"{url}/predict", **content)
        assert there.status_code == here.status_code == 422
        assert there.headers["Content-Type"] == "application/problem+json"
        assert there.json() == here.json()
    names = [
        {
            line.split()[2]
            for line in httpx.get(f"{at}/metrics").text.splitlines()
            if line.startswith("# TYPE")
        }
        for at in (plain.url, url)
    ]
    assert names[1] == names[0]
    assert "tumor_requests_total" in names[1]


def test_a_flood_is_answered_or_told_when_to_come_back(url: str) -> None:
    phantom = make_phantom(7, size=SMALL)
    with ThreadPoolExecutor(FLOOD) as clients:
        answers = list(clients.map(lambda _: post(url, "/predict", phantom), range(FLOOD)))
    statuses = Counter(answer.status_code for answer in answers)
    assert set(statuses) == {200, 503}, statuses
    masks = {answer.json()["img"] for answer in answers if answer.status_code == 200}
    assert len(masks) == 1
    for answer in answers:
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.headers["Content-Type"] == "application/problem+json"
            assert "waiting for a replica" in answer.json()["detail"]
    assert post(url, "/predict", phantom).status_code == 200


def test_every_replica_tells_ray_its_metrics(url: str) -> None:
    import ray

    due = time.monotonic() + 60
    ports = [node["MetricsExportPort"] for node in ray.nodes() if node["Alive"]]
    texts = [""]
    while not any("ray_tumor_requests_total{" in text and 'route="/predict"' in text for text in texts):
        assert time.monotonic() < due, "Ray never exported the service's metrics"
        time.sleep(1)
        texts = [httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=30).text for port in ports]
    assert "ray_tumor_request_seconds_bucket{" in "".join(texts)


@dataclass
class Load:
    """A few clients that ask and ask again; each scan is asked for until it is answered."""

    url: str
    end: Event = field(default_factory=Event)
    lock: Lock = field(default_factory=Lock)
    answered: int = 0
    retries: Counter[str] = field(default_factory=Counter)
    masks: dict[int, set[str]] = field(default_factory=dict)

    def client(self, seed: int) -> None:
        phantom = make_phantom(seed, size=SMALL)
        while not self.end.is_set():
            mask = self.ask(phantom)
            with self.lock:
                self.answered += 1
                self.masks.setdefault(seed, set()).add(mask)

    def ask(self, phantom: Phantom) -> str:
        due = time.monotonic() + START_S
        while True:
            try:
                answer = post(self.url, "/predict", phantom)
                if answer.status_code == 200:
                    return str(answer.json()["img"])
                why = str(answer.status_code)
            except httpx.TransportError as error:
                why = type(error).__name__
            assert time.monotonic() < due, f"a scan was lost: {why}"
            with self.lock:
                self.retries[why] += 1
            time.sleep(0.5)

    def wait_for(self, more: int) -> None:
        goal = self.answered + more
        due = time.monotonic() + START_S
        while self.answered < goal:
            assert time.monotonic() < due, f"{self.answered} answers, {goal} were expected: {self.retries}"
            time.sleep(0.05)


def test_lost_replicas_and_a_lost_node_lose_no_scan(
    url: str, nodes: TwoNodes, capsys: pytest.CaptureFixture[str]
) -> None:
    load = Load(url)
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [pool.submit(load.client, seed) for seed in range(CLIENTS)]
        try:
            load.wait_for(6)
            processes(REPLICA)[0].kill()
            load.wait_for(12)
            nodes.lose_node()
            load.wait_for(12)
        finally:
            load.end.set()
    for client in clients:
        client.result()
    assert all(len(masks) == 1 for masks in load.masks.values())
    with capsys.disabled():
        retries = sum(load.retries.values())
        print(f"\n{load.answered} scans answered, {retries} retries of clients {dict(load.retries)}")  # noqa: T201
    nodes.restore()


def test_the_yaml_names_what_is_deployed() -> None:
    """`serve deploy` reads it: the schema is Ray's own."""
    from ray.serve.schema import ServeDeploySchema

    from deploy.ray_serve import ensemble_deployment, ingress_deployment

    content: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "serve.yaml").read_text())
    application = ServeDeploySchema.model_validate(content).applications[0]
    assert application.import_path == "deploy.ray_serve:app"
    assert {of.name for of in application.deployments} == {ensemble_deployment.name, ingress_deployment.name}
