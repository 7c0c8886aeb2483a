"""What a built image has to prove: that it serves as its user, from a root that is only read, and ends."""

import base64
import http.client
import json
import secrets
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.rehearsal.podman import Podman, RehearsalError
from inference.errors import SegmentationError
from utils import decode_image, decode_request, validate_segmentation

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "samples" / "phantom_1.png"
LARGEST_BYTES = 10**9
READY_S, ANSWER_S, END_S = 300, 60, 30
OK, UNAUTHORIZED = http.HTTPStatus.OK, http.HTTPStatus.UNAUTHORIZED


@dataclass(frozen=True)
class Finding:
    """A thing that was to be proved, what was seen, and whether that does."""

    what: str
    seen: str
    holds: bool


@dataclass(frozen=True)
class Container:
    """A running container, and how its service is asked."""

    podman: Podman
    name: str
    port: int
    key: str

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """Return the status and the content of an answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_S)
        try:
            headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command in the container, as its user."""
        return self.podman.run("exec", self.name, *command)


def prove(podman: Podman, image: str) -> Iterator[Finding]:
    """Run the image as it is to be run, and say what is seen; raises `RehearsalError` if it never serves."""
    known = podman.inspect("image", image)
    size = int(known["Size"])
    yield Finding("size in all", f"{size / 1e6:.0f} MB", size < LARGEST_BYTES)
    with running(podman, image) as container:
        user = container.execute("id", "-u").stdout.strip()
        yield Finding("user", user, user.isdigit() and int(user) != 0)
        without = container.execute("python", "-c", "import torch")
        missing = "No module named 'torch'" in without.stdout
        yield Finding("PyTorch", "is not there" if missing else "is there", missing)
        seconds = wait_until_ready(container)
        yield Finding("/health/ready", f"200 after {seconds:.0f} s", True)
        health = container.execute(*known["Healthcheck"]["Test"][1:])
        yield Finding("HEALTHCHECK", f"exit status {health.returncode}", health.returncode == 0)
        yield _predict(container)
        yield _refuse(Container(podman, container.name, container.port, key=""))
        writing = container.execute("python", "-c", "open('/app/written', 'w')").stdout
        read_only = "Read-only file system" in writing
        yield Finding("root", "is only read" if read_only else "can be written", read_only)
        volumes = [mount["Destination"] for mount in podman.inspect("container", container.name)["Mounts"]]
        yield _end(container)
        changed = _changed(podman, container.name)
        seen = ", ".join(changed) or f"nothing; volumes: {', '.join(volumes)}, /tmp"
        yield Finding("written to the root", seen, not changed)


@contextmanager
def running(podman: Podman, image: str) -> Iterator[Container]:
    """Run an image with a root that is only read; the container is removed afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    key = secrets.token_hex(24)
    settings = ["--env", f"PORT={port}", "--env", f"API_KEY={key}"]
    name = podman.ask(
        "run", "--detach", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", *settings, image
    )
    try:
        yield Container(podman, name.splitlines()[-1], port, key)
    finally:
        podman.run("rm", "--force", "--volumes", name.splitlines()[-1])


def wait_until_ready(container: Container) -> float:
    """Wait until the service says that it is ready; returns the seconds that took."""
    started = time.monotonic()
    while time.monotonic() - started < READY_S:
        try:
            if container.ask("GET", "/health/ready")[0] == OK:
                return time.monotonic() - started
        except (OSError, http.client.HTTPException):
            pass
        if not container.podman.inspect("container", container.name)["State"]["Running"]:
            break
        time.sleep(0.5)
    log = container.podman.run("logs", container.name).stdout.strip()
    raise RehearsalError(f"the service was not ready within {READY_S} s; its log: {log[-1000:]}")


def _predict(container: Container) -> Finding:
    data = SAMPLE.read_bytes()
    body = json.dumps({"img": base64.b64encode(data).decode()}).encode()
    status, content = container.ask("POST", "/predict", body)
    if status != OK:
        return Finding("/predict", f"{status}: {content[:200]!r}", False)
    mask = decode_request(json.loads(content)["img"])
    try:
        validate_segmentation(decode_image(data), mask)
    except SegmentationError as error:
        return Finding("/predict", str(error), False)
    pixels = int((mask[..., 0] > 0).sum())
    return Finding("/predict", f"200, a valid mask of {SAMPLE.name}, {pixels} px of it tumour", pixels > 0)


def _refuse(keyless: Container) -> Finding:
    status, _ = keyless.ask("POST", "/predict", b"{}")
    return Finding("/predict without a key", str(status), status == UNAUTHORIZED)


def _end(container: Container) -> Finding:
    """Tell the service to end, as an engine does: by the image's signal."""
    container.podman.ask("stop", "--time", str(END_S), container.name)
    state: dict[str, Any] = container.podman.inspect("container", container.name)["State"]
    status = state["ExitCode"]
    signal = container.podman.inspect("container", container.name)["Config"].get("StopSignal")
    return Finding(f"told to end (signal {signal})", f"exit status {status}", status == 0)


def _changed(podman: Podman, name: str) -> list[str]:
    """Return the files of the root that were changed, less the places that an engine mounts things at."""
    mounted = ("/dev", "/etc", "/proc", "/run", "/sys", "/tmp", "/data")
    lines = podman.ask("diff", name).splitlines()
    paths = [line.partition(" ")[2] for line in lines]
    return [path for path in paths if not path.startswith(mounted)]
