"""Does what README asks of a new user first, in an environment of its own: `uv run api.py`, and a scan.

Fails where more is installed than serving needs, or the service is not ready in time.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent
MOST_MB = 900
UNWANTED = ("torch", "torchvision", "nvidia", "triton", "segmentation_models_pytorch", "lightning", "pytest")
START_DEADLINE_S = 90


def main() -> int:
    """Install, look, start twice, segment; returns the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        installed = Path(folder) / "venv"
        environment = os.environ | {"UV_PROJECT_ENVIRONMENT": str(installed), "LOG_DIR": f"{folder}/logs"}
        environment["LOG_LEVEL"] = "WARNING"
        for name in ("VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE"):
            environment.pop(name, None)
        run("uv", "run", "--locked", "python", "-c", "pass", environment=environment)
        megabytes = sum(path.lstat().st_size for path in installed.rglob("*")) / 1e6
        found = [path.name for name in UNWANTED for path in installed.glob(f"lib/*/site-packages/{name}")]
        print(f"--- uv run api.py installs {megabytes:.0f} MB", flush=True)
        for start in ("first", "second"):
            with serving(environment) as (url, seconds):
                print(f"--- ready after {seconds:.1f} s at the {start} start", flush=True)
                out = Path(folder) / start
                run("uv", "run", "client_test.py", "--url", url, "--out", str(out), environment=environment)
                masks = list(out.glob("*_mask.png"))
    if found or megabytes > MOST_MB or not masks:
        print(f"--- it installs {found or 'too much'}, or makes no mask", flush=True)
        return 1
    return 0


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[tuple[str, float]]:
    """Start the service on a free port; yields its address, and after how many seconds it was ready."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url, started = f"http://127.0.0.1:{port}", time.monotonic()
    service = subprocess.Popen(["uv", "run", "api.py"], cwd=ROOT, env=environment | {"PORT": str(port)})
    try:
        while not answers(f"{url}/health/ready"):
            if service.poll() is not None or time.monotonic() - started > START_DEADLINE_S:
                raise SystemExit("--- the service was not ready in time")
            time.sleep(0.1)
        yield url, time.monotonic() - started
    finally:
        service.terminate()
        service.wait()


def answers(url: str) -> bool:
    """Say whether something answers with 200."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except OSError:
        return False


def run(*command: str, environment: dict[str, str]) -> None:
    """Run a command in the project's folder; ends this script where it fails."""
    subprocess.run(command, cwd=ROOT, env=environment, check=True)


if __name__ == "__main__":
    sys.exit(main())
