"""The service in this process, where a test can hold its engine, or break it."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

from api import create_app
from inference.deadline import Deadline
from inference.ensemble import Ensemble, Prediction
from inference.settings import Settings
from service.operation.listener import bind
from service.segmentation import Service
from service.server import Server
from tests.conftest import ROOT, as_base64
from utils import Scan

SCAN = {"img": as_base64((ROOT / "samples" / "phantom_1.png").read_bytes())}


@contextmanager
def serving(settings: Settings, ensemble: Ensemble | None = None) -> Iterator[httpx.Client]:
    """Serve the app on a free port from a thread of this process."""
    with running(settings, ensemble) as (client, _):
        yield client


@contextmanager
def running(settings: Settings, ensemble: Ensemble | None = None) -> Iterator[tuple[httpx.Client, Service]]:
    """Serve the app, and show its inside too."""
    listener, _ = bind(settings.model_copy(update={"port": 0}))
    app = create_app(settings, ensemble)
    server = Server(app)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        port = listener.getsockname()[1]
        wait_until(lambda: server.started)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            yield client, app.state.service
    finally:
        server.end()
        thread.join()


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something is so."""
    due = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < due, "it was never so"
        time.sleep(0.01)


def wait_for(client: httpx.Client, state: str) -> httpx.Response:
    """Wait until the service says that it is in a state."""
    wait_until(lambda: client.get("/health/ready").json()["state"] == state)
    return client.get("/health/ready")


class Held:
    """Holds every prediction of an ensemble until it is let go, and counts those that began."""

    def __init__(self, ensemble: Ensemble) -> None:
        self.began = 0
        self.go = threading.Event()
        self._predict = ensemble.predict
        ensemble.predict = self.predict  # type: ignore[method-assign]

    def predict(self, scan: Scan, deadline: Deadline | None = None) -> Prediction:
        self.began += 1
        assert self.go.wait(60)
        return self._predict(scan, deadline)
