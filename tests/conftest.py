"""What the tests share: phantoms, and the real server with the real weights on a free loopback port."""

import base64
import io
import os
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

os.environ.setdefault("OMP_NUM_THREADS", "1")  # PyTorch's threads wait for each other in two processes

from benchmarks.service import RunningService
from inference.settings import Settings
from tests.ports import free_port
from tests.scheduling import rank, turn
from tests.stand_ins.wandb_server import WandbServer, wandb_server
from training.phantoms.drawing import Phantom, make_phantom

ROOT = Path(__file__).parent.parent
START_DEADLINE_S = 90
ANSWER_DEADLINE_S = 60
SIZES = ((489, 400), (426, 400), (300, 400), (865, 400), (333, 210))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have the longest files begun first, and those tests run last that run alone."""
    items.sort(key=rank)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Let a test that measures time run alone, the start of what it needs included."""
    assert item.config.cache is not None
    folder = item.config.cache.mkdir("turns")
    with turn(folder, alone=item.get_closest_marker("alone") is not None):
        return (yield)


NO_CERTIFICATES = False
"""Nothing here speaks TLS, and reading the certificates takes longer than most requests."""


@dataclass(frozen=True)
class Server:
    """A running service: its address, its log file, and its process."""

    url: str
    log: Path
    process: subprocess.Popen[bytes]

    def post(self, path: str, **content: Any) -> httpx.Response:
        """POST to the service, waiting as long as an answer may take."""
        return httpx.post(self.url + path, timeout=ANSWER_DEADLINE_S, verify=NO_CERTIFICATES, **content)

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=ANSWER_DEADLINE_S, verify=NO_CERTIFICATES)


def plain_settings(**changes: Any) -> Settings:
    """Return settings as they are without a `.env`, but for some changes."""
    return Settings(_env_file=None, **changes)  # type: ignore[call-arg]


def environment(**settings: object) -> dict[str, str]:
    """Return the environment of a service: this one's, without settings of the person who runs the tests."""
    own = {
        *(name.upper() for name in Settings.model_fields),
        "MODEL_ARTIFACT",
        "WANDB_MODE",
        "WANDB_BASE_URL",
        "WANDB_HTTP_TIMEOUT",
    }
    inherited = {name: value for name, value in os.environ.items() if name not in own}
    return inherited | {name: str(value) for name, value in settings.items()}


@pytest.fixture(autouse=True)
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the tester's own W&B key out of every test."""
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)


def start_server(folder: Path, *program: str, stderr: IO[bytes] | None = None, **settings: object) -> Server:
    """Start `api.py` as its users do, with its logs in a folder of their own, and wait until it is ready.

    Another program of Python's can stand in its place: one that breaks something and then is the same.
    """
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, *(program or ("api.py",))],
        cwd=ROOT,
        env=environment(PORT=port, LOG_DIR=folder, **settings),
        stderr=stderr,
    )
    server = Server(f"http://127.0.0.1:{port}", folder / "api.log", process)
    deadline = time.monotonic() + START_DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if server.get("/health/ready").status_code == 200:
                return server
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    process.kill()
    raise AssertionError(f"the service was not ready within {START_DEADLINE_S} s")


def as_service(server: Server) -> RunningService:
    """Return the service as the benchmark measures it."""
    return RunningService(int(server.url.rpartition(":")[2]), server.process.pid, 0)


def stop_server(server: Server) -> None:
    server.process.terminate()
    server.process.wait(timeout=START_DEADLINE_S)


@pytest.fixture
def cloud() -> Iterator[WandbServer]:
    """A loopback server in W&B's place, empty."""
    with wandb_server() as running:
        yield running


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start_server(tmp_path_factory.mktemp("server"))
    yield running
    stop_server(running)


@pytest.fixture(scope="session")
def phantom() -> Phantom:
    return make_phantom(1, lesions=5, size=(489, 400))


@pytest.fixture(scope="session")
def phantoms() -> list[Phantom]:
    """Five phantoms of five shapes."""
    return [make_phantom(seed, lesions=4, size=size) for seed, size in enumerate(SIZES)]


def file_bytes(image: npt.NDArray[np.generic], file_format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=file_format)
    return buffer.getvalue()


def as_base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def run_script(*arguments: object, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a script of the project with this Python, as a user would in the project's folder."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
