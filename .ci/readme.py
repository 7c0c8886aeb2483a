"""Runs the commands of README.md as a reader would, in order; a service that one starts stays up.

A block of commands may have a comment before it:
    <!-- ci: skip (why) -->           it cannot run here
    <!-- ci: needs TUMOR_DATA_DIR --> it runs where that variable is set
    <!-- ci: service -->              it starts a service, which is waited for
"""

import os
import re
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).parent.parent
READY = "http://127.0.0.1:9051/health/ready"
START_DEADLINE_S = 90  # the first start converts the folds
PROMISED = ("uv run api.py", "uv run client_test.py", "uv run pytest")
BLOCK = re.compile(r"(?:<!-- ci: (?P<note>[^>]*?) -->\s*\n)?```bash\n(?P<commands>.*?)```", re.DOTALL)


def main() -> int:
    """Run every block; returns the exit status of the first that fails."""
    services: list[subprocess.Popen[bytes]] = []
    done: list[str] = []
    try:
        for block in BLOCK.finditer((ROOT / "README.md").read_text()):
            note, commands = block["note"] or "", block["commands"].strip()
            if note.startswith("skip") or (note.startswith("needs") and not os.environ.get(note.split()[1])):
                print(f"--- not run: {note}\n{commands}", flush=True)
                continue
            print(f"--- {commands}", flush=True)
            done.append(commands)
            if note == "service":
                if answers():
                    raise SystemExit(f"another service already answers at {READY}")
                services.append(subprocess.Popen(["bash", "-c", f"exec {commands}"], cwd=ROOT))
                wait_until_ready(services[-1])
                continue
            status = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", commands], cwd=ROOT, check=False
            ).returncode
            if status:
                print(f"--- failed with status {status}", flush=True)
                return status
    finally:
        for service in services:
            service.terminate()
            service.wait()
    missing = [command for command in PROMISED if command not in done]
    if missing:
        print(f"--- the README no longer has: {', '.join(missing)}", flush=True)
    return len(missing)


def answers() -> bool:
    """Say whether a service is ready."""
    try:
        with urllib.request.urlopen(READY, timeout=5):
            return True
    except OSError:
        return False


def wait_until_ready(service: subprocess.Popen[bytes]) -> None:
    """Wait until the service answers that it is ready; print how long that took."""
    started = time.monotonic()
    while time.monotonic() - started < START_DEADLINE_S:
        if service.poll() is not None:
            raise SystemExit(f"the service ended with status {service.returncode}")
        if answers():
            print(f"--- ready after {time.monotonic() - started:.1f} s", flush=True)
            return
        time.sleep(0.1)
    raise SystemExit(f"the service was not ready within {START_DEADLINE_S} s")


if __name__ == "__main__":
    sys.exit(main())
