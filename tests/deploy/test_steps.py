"""What the Dockerfile's last stage installs and copies is enough to serve, without PyTorch.

The image itself takes minutes: `python -m deploy.rehearsal` builds it. Here its list of packages and its
list of files are laid out beside each other, and the service is started from there.
"""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.conftest import ROOT, START_DEADLINE_S, as_base64, environment
from tests.deploy.dockerfile import copied, stage
from tests.ports import free_port
from utils import decode_image, decode_request, validate_segmentation

PHANTOM = ROOT / "samples" / "phantom_1.png"
BUILD_ONLY = "--compile-bytecode"


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the last stage's packages, files and folds."""
    if (uv := shutil.which("uv")) is None:
        pytest.skip("uv is not on the path")
    folder = tmp_path_factory.mktemp("app")
    for name in copied(stage("service")):
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, folder / name)
    (options,) = re.findall(r"uv sync (.*)", stage("packages"))
    asked = [option for option in options.split() if option != BUILD_ONLY]
    where = environment(UV_PROJECT_ENVIRONMENT=folder / ".venv")
    where.pop("VIRTUAL_ENV", None)
    installed = subprocess.run(
        [uv, "sync", *asked], cwd=ROOT, env=where, capture_output=True, text=True, check=False
    )
    assert installed.returncode == 0, installed.stderr
    return folder


@pytest.fixture(scope="module")
def url(laid_out: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start the service from there, and tell it to end afterwards."""
    data, address = tmp_path_factory.mktemp("data"), f"http://127.0.0.1:{(port := free_port())}"
    settings = {"PORT": port, "LOG_DIR": data / "logs", "MODEL_CACHE_DIR": data / "cache", "HOME": data}
    process = subprocess.Popen(
        [laid_out / ".venv" / "bin" / "python", "api.py"],
        cwd=laid_out,
        env=environment(**settings, PYTHONDONTWRITEBYTECODE=1),
    )
    deadline = time.monotonic() + START_DEADLINE_S
    try:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(f"{address}/health/ready").status_code == httpx.codes.OK:
                    break
            except httpx.TransportError:
                pass
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        assert process.wait(timeout=START_DEADLINE_S) == 0


def test_pytorch_is_not_there(laid_out: Path) -> None:
    packages = {path.name for path in laid_out.glob(".venv/lib/python*/site-packages/*")}
    assert "openvino" in packages
    assert not packages & {"torch", "nvidia", "triton", "segmentation_models_pytorch", "timm"}


def test_a_scan_is_segmented_and_nothing_is_written_beside_the_code(laid_out: Path, url: str) -> None:
    answer = httpx.post(f"{url}/predict", json={"img": as_base64(PHANTOM.read_bytes())}, timeout=60)
    assert answer.status_code == httpx.codes.OK, answer.text
    mask = decode_request(answer.json()["img"])
    validate_segmentation(decode_image(PHANTOM.read_bytes()), mask)
    assert mask.any()
    assert httpx.get(f"{url}/ui", timeout=60).status_code == httpx.codes.OK
    expected = copied(stage("service")) | {"models", ".venv"}
    assert {path.name for path in laid_out.iterdir()} == expected
