"""Podman with images and settings of its own, so that a rehearsal finds and leaves nothing on the machine."""

import json
import resource
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

MOST_FILES = 4096


class RehearsalError(Exception):
    """The rehearsal cannot go on; the message says what to do."""


class Podman:
    """A podman whose images are in a folder."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("podman") is None:
            raise RehearsalError("podman is not installed: `apt-get install podman runc`")
        folder.mkdir(parents=True, exist_ok=True)
        conf = folder / "containers.conf"
        conf.write_text(_configuration())
        self._command = ["env", f"CONTAINERS_CONF={conf}", "podman"]
        self._command += ["--root", str(folder / "images"), "--runroot", str(folder / "run")]

    def run(
        self, *arguments: str, stdin: Any = None, shown: bool = False, cwd: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command of podman's, whatever its exit status; `shown` lets its output through."""
        return subprocess.run(
            [*self._command, *arguments],
            stdin=stdin,
            stdout=None if shown else subprocess.PIPE,
            stderr=None if shown else subprocess.STDOUT,
            text=True,
            cwd=cwd,
            check=False,
        )

    def ask(self, *arguments: str, stdin: Any = None) -> str:
        """Return what a command says; raises `RehearsalError` where it fails."""
        ended = self.run(*arguments, stdin=stdin)
        if ended.returncode:
            raise RehearsalError(f"`podman {' '.join(arguments[:2])}` failed: {ended.stdout.strip()[-500:]}")
        return ended.stdout.strip()

    def inspect(self, kind: str, name: str) -> dict[str, Any]:
        """Return what is known of an image or of a container."""
        known: dict[str, Any] = json.loads(self.ask(kind, "inspect", name))[0]
        return known

    def build(self, dockerfile: Path, context: Path, tag: str, options: Sequence[str] = ()) -> None:
        """Build an image, showing its steps; raises `RehearsalError` where one fails."""
        how = ["--format", "docker", "--pull-never", "--tag", tag, "--file", str(dockerfile), *options]
        if self.run("build", *how, str(context), shown=True).returncode:
            raise RehearsalError(f"a step of {dockerfile} failed: see above")


def leave(folder: Path) -> None:
    """Remove a podman's folder, with what a build that was broken off has left mounted there."""
    mounted = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
    for path in reversed(mounted):
        if Path(path).is_relative_to(folder.resolve()):
            subprocess.run(["umount", "--lazy", path], check=False)
    shutil.rmtree(folder, ignore_errors=True)


def _configuration() -> str:
    """Return settings that need neither systemd nor a bridge, nor more than this process may have."""
    limits = {"nofile": resource.RLIMIT_NOFILE, "nproc": resource.RLIMIT_NPROC}
    ulimits = []
    for name, limit in limits.items():
        most = resource.getrlimit(limit)[1]
        number = MOST_FILES if most == resource.RLIM_INFINITY else min(MOST_FILES, most)
        ulimits.append(f'"{name}={number}:{number}"')
    runtime = 'runtime = "runc"\n' if shutil.which("runc") else ""
    return (
        f'[containers]\ndefault_ulimits = [{", ".join(ulimits)}]\nnetns = "host"\n'
        f'[engine]\ncgroup_manager = "cgroupfs"\n{runtime}'
    )
