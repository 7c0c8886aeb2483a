"""`python -m deploy.rehearsal`: build the image of deploy/Dockerfile, run it, prove that it serves.

Needs podman and runc; where the base image cannot be pulled, debootstrap too, and to be root. Images and
containers are kept apart from the machine's own, and nothing of them stays.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from deploy.rehearsal.base_image import provide_base
from deploy.rehearsal.podman import Podman, RehearsalError, leave
from deploy.rehearsal.proof import ROOT, prove

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
IMAGE = "localhost/tumor-segmentation-api:rehearsal"
CACHE_INSIDE = "/var/cache/uv"
"""The `UV_CACHE_DIR` of the stages that build."""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
console = Console(soft_wrap=True, highlight=False)


@app.command(help=__doc__)
def rehearse(
    work: Annotated[
        Path | None, typer.Option(help="A folder to keep base and layers in for the next time.")
    ] = None,
) -> None:
    """Build, run and prove; exit with 1 where something does not hold."""
    folder = work or Path(tempfile.mkdtemp(prefix="rehearsal-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        podman = Podman(folder.absolute())
        source = provide_base(podman, DOCKERFILE.read_text(), folder.absolute())
        console.print(f"the base image is from {source}")
        podman.build(DOCKERFILE, ROOT, IMAGE, ["--target", "service", *_package_cache()])
        failed = 0
        for finding in prove(podman, IMAGE):
            console.print(f"{'holds' if finding.holds else 'FAILS'}  {finding.what}: {finding.seen}")
            failed += not finding.holds
    finally:
        if work is None:
            leave(folder)
    if failed:
        raise typer.Exit(1)


def _package_cache() -> list[str]:
    """Lend the build this machine's downloads, so that none is made twice."""
    if (uv := shutil.which("uv")) is None:
        return []
    cache = subprocess.run([uv, "cache", "dir"], capture_output=True, text=True, check=True).stdout.strip()
    return ["--volume", f"{cache}:{CACHE_INSIDE}"] if Path(cache).is_dir() else []


def main() -> int:
    """Rehearse; what the user can mend ends in one sentence."""
    try:
        app()
    except RehearsalError as error:
        console.print(f"error: {error}", markup=False)
    return 1


if __name__ == "__main__":
    sys.exit(main())
