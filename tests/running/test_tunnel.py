"""The service behind a real SSH tunnel: what goes through it, and what its end costs."""

import getpass
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pytest

from tests.conftest import Server, as_base64, file_bytes, run_script
from tests.ports import free_port
from tests.running.test_ending import waiting
from training.phantoms.drawing import Phantom
from utils import decode_request

SSHD = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PATIENCE_S = 30

pytestmark = pytest.mark.skipif(
    SSHD is None or shutil.which("ssh") is None, reason="it needs OpenSSH's server and client"
)


@dataclass(frozen=True)
class FarSide:
    """An SSH server on loopback, in the place of the tunnel's provider."""

    folder: Path
    ssh_port: int
    public_port: int

    @property
    def url(self) -> str:
        """Return the address that the tunnel gives the service."""
        return f"http://127.0.0.1:{self.public_port}"

    @contextmanager
    def tunnel(self, server: Server) -> Iterator["subprocess.Popen[bytes]"]:
        """Open the tunnel as `docs/tunnel.md` does, and wait until the service answers through it."""
        local = server.url.removeprefix("http://")
        process = subprocess.Popen(
            [
                *("ssh", "-N", "-F", "none", "-p", str(self.ssh_port), "-i", str(self.folder / "user_key")),
                *("-o", f"UserKnownHostsFile={self.folder / 'known_hosts'}"),
                *("-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes"),
                *("-o", "ServerAliveInterval=30", "-o", "ExitOnForwardFailure=yes"),
                *("-R", f"127.0.0.1:{self.public_port}:{local}", f"{getpass.getuser()}@127.0.0.1"),
            ]
        )
        try:
            wait_until(lambda: answers(self.url), "the tunnel did not open")
            yield process
        finally:
            process.kill()
            process.wait()


@pytest.fixture
def far_side(tmp_path: Path) -> Iterator[FarSide]:
    side = FarSide(tmp_path, free_port(), free_port())
    for key in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / key)], check=True)
    (tmp_path / "sshd_config").write_text(
        f"""ListenAddress 127.0.0.1:{side.ssh_port}
        HostKey {tmp_path / "host_key"}
        AuthorizedKeysFile {tmp_path / "user_key.pub"}
        PidFile none
        StrictModes no
        UsePAM no
        PasswordAuthentication no
        PermitRootLogin prohibit-password
        """
    )
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # its unprivileged half wants to live there
    assert SSHD is not None
    process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(tmp_path / "sshd_config")])
    yield side
    process.terminate()
    process.wait()


def test_scans_go_through_a_tunnel_and_its_end_costs_only_what_was_in_it(
    server: Server, far_side: FarSide, phantom: Phantom, tmp_path: Path
) -> None:
    scan = {"img": as_base64(file_bytes(phantom.grey))}
    long = {"img": as_base64(file_bytes(np.full((2500, 2500), 255, np.uint8)))}
    expected = decode_request(server.post("/predict", json=scan).json()["img"])

    def ask(address: str, content: dict[str, str]) -> httpx.Response:
        return httpx.post(f"{address}/predict", json=content, timeout=120)

    with ThreadPoolExecutor(2) as clients:
        with far_side.tunnel(server) as tunnel:
            through = decode_request(ask(far_side.url, scan).json()["img"])
            client = run_script("client_test.py", "--url", f"{far_side.url}/predict", "--out", tmp_path)
            cut_off = clients.submit(ask, far_side.url, long)
            wait_until(lambda: waiting(server) == 1, "the long scan did not arrive")
            beside = clients.submit(ask, server.url, scan)
            wait_until(lambda: waiting(server) == 2, "the scan beside it did not arrive")
            tunnel.kill()
            with pytest.raises(httpx.TransportError):
                cut_off.result()
        assert server.get("/health/ready").status_code == 200
        with far_side.tunnel(server):
            again = [ask(far_side.url, scan) for _ in range(3)]
    assert np.array_equal(through, expected)
    assert client.returncode == 0, client.stderr
    assert beside.result().status_code == 200
    assert [answer.status_code for answer in again] == [200] * 3
    assert np.array_equal(decode_request(again[-1].json()["img"]), expected)
    wait_until(lambda: waiting(server) == 0, "the cut request still holds its place")
    assert "Traceback" not in server.log.read_text()


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def wait_until(holds: Callable[[], bool], otherwise: str) -> None:
    due = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < due, otherwise
        time.sleep(0.02)
