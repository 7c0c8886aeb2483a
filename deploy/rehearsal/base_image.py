"""The image that the Dockerfile begins with: from its registry, or its like made of Debian's packages.

The like has the same Debian and the same minor version of Python, from Debian; everything after it is
the Dockerfile's own.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deploy.rehearsal.podman import Podman, RehearsalError

BASE = re.compile(r"^FROM (python:(?P<python>3\.\d+)-slim-(?P<debian>\w+))", re.MULTILINE)
PACKAGES = ("ca-certificates", "python3", "python3-pip")
CARRIED_VARIABLES = re.compile(
    r"(?i)(PIP|UV)_\w*(INDEX|LINKS|CERT|TLS|HOST|TIMEOUT|KEYRING)\w*|SSL_CERT_(FILE|DIR)|\w+_PROXY"
)
CARRIED_FILES = (
    "/etc/pip.conf",
    "/etc/uv/uv.toml",
    "~/.config/pip/pip.conf",
    "~/.config/uv/uv.toml",
    "/etc/ssl/certs/ca-certificates.crt",
)
"""How this machine reaches its package registries; an image made of the base alone would not know."""


def provide_base(podman: Podman, dockerfile: str, folder: Path) -> str:
    """Give podman the image that every stage begins with; returns from where it is."""
    found = {match[1]: match for match in BASE.finditer(dockerfile)}
    if len(found) != 1:
        raise RehearsalError(
            f"the Dockerfile begins with {', '.join(found) or 'no Python image'}: one is needed"
        )
    ((name, match),) = found.items()
    tag = f"docker.io/library/{name}"
    if podman.run("pull", "--quiet", tag).returncode == 0:
        source = "its registry"
    else:
        root = folder / "base"
        _bootstrap(root, match["debian"], match["python"])
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as archive:
            podman.ask("import", "-", tag, stdin=archive.stdout)
        source = "Debian's packages"
    _carry_registries(podman, tag, folder / "carried")
    return source


def _bootstrap(root: Path, debian: str, python: str) -> None:
    """Make a root of Debian's packages that has the image's names for Python."""
    if (root / "usr/local/bin/python").is_symlink():
        return
    if shutil.which("debootstrap") is None:
        raise RehearsalError(
            "the base image cannot be pulled, and debootstrap is not installed: `apt-get install debootstrap`"
        )
    shutil.rmtree(root, ignore_errors=True)
    made = subprocess.run(
        [
            "debootstrap",
            "--variant=minbase",
            f"--include={','.join(PACKAGES)}",
            debian,
            root,
            *_mirror(debian),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if made.returncode:
        raise RehearsalError(f"debootstrap failed (it has to run as root): {made.stdout.strip()[-500:]}")
    for rest in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(root / rest)
    interpreter = root / f"usr/bin/python{python}"
    if not interpreter.exists():
        raise RehearsalError(f"Debian {debian} has no Python {python}")
    (root / f"usr/lib/python{python}/EXTERNALLY-MANAGED").unlink(missing_ok=True)
    for name, target in (("python3", interpreter.name), ("pip", "pip3"), ("python", interpreter.name)):
        (root / "usr/local/bin" / name).symlink_to(f"/usr/bin/{target}")


def _mirror(debian: str) -> list[str]:
    """Return where this machine has that Debian from; nothing where it has another."""
    if shutil.which("apt-get") is None:
        return []
    asked = [
        "apt-get",
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        f"Codename: {debian}",
    ]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.split()[:1]


def _carry_registries(podman: Podman, tag: str, folder: Path) -> None:
    """Add to the base how this machine reaches its package registries."""
    shutil.rmtree(folder, ignore_errors=True)
    files = folder / "files"
    files.mkdir(parents=True)
    for name in CARRIED_FILES:
        source = Path(name).expanduser()
        if source.is_file():
            target = files / name.replace("~", "root").lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
    lines = [f"FROM {tag}", "COPY files /", *_environment()]
    (folder / "Dockerfile").write_text("\n".join(lines) + "\n")
    podman.build(folder / "Dockerfile", folder, tag)


def _environment() -> Iterator[str]:
    for name, value in os.environ.items():
        if CARRIED_VARIABLES.fullmatch(name) and "$" not in value:
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            yield f'ENV {name}="{escaped}"'
