"""`python -m inference segment --ray` on a cluster, one of whose workers is lost on the way."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from inference.ensemble import Ensemble, load_ensemble
from tests.conftest import ROOT, environment, plain_settings
from tests.ray.conftest import TwoNodes, processes
from training.phantoms.drawing import make_phantom

pytest.importorskip("ray")

SCANS = int(os.environ.get("TUMOR_TEST_SCANS", "24"))
SIZE = (120, 96)
WORKER = "MapWorker"


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return load_ensemble(plain_settings(models_dir=ROOT / "models"))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Phantoms in folders, and two files that are no scans."""
    folder = tmp_path / "scans"
    for number in range(SCANS):
        path = folder / f"site_{number % 3}" / f"scan_{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(make_phantom(number, size=SIZE).grey).save(path)
    (folder / "site_0" / "broken.png").write_bytes(b"\x89PNG and no more")
    (folder / "broken.nii.gz").write_bytes(b"no volume")
    return folder


def start(scans: object, out: Path, nodes: TwoNodes, *more: str) -> subprocess.Popen[str]:
    options = ["--out", str(out), "--ray", nodes.address, "--ray-cpus", "4", *more]
    return subprocess.Popen(
        [sys.executable, "-m", "inference", "segment", str(scans), *options],
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
    )


def end(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=120 + 2 * SCANS)
    return process.returncode, said


def test_each_scan_has_one_result_though_a_worker_is_lost(
    nodes: TwoNodes, scans: Path, tmp_path: Path, ensemble: Ensemble
) -> None:
    import pyarrow.parquet as pq

    nodes.restore()
    out = tmp_path / "out"
    process = start(scans, out, nodes)
    due = time.monotonic() + 120 + SCANS
    while len(list(out.rglob("*_mask.png"))) < SCANS // 4 and process.poll() is None:
        assert time.monotonic() < due
        time.sleep(0.02)
    workers = processes(WORKER)
    assert workers
    workers[0].kill()
    status, said = end(process)
    assert status == 1, said
    assert "site_0/broken.png: " in said
    assert "broken.nii.gz: " in said
    assert f"{SCANS} of {SCANS + 2} scans segmented" in said

    rows = pq.read_table(out / "findings.parquet").to_pylist()
    assert len({row["scan"] for row in rows}) == len(rows) == SCANS + 2
    assert {row["scan"] for row in rows if row["error"]} == {"site_0/broken.png", "broken.nii.gz"}
    masks = {path.relative_to(out).as_posix() for path in out.rglob("*_mask.png")}
    assert masks == {row["scan"].replace(".png", "_mask.png") for row in rows if not row["error"]}
    assert not list(out.rglob("*.partial"))
    assert not list((out / "findings.parts").glob("*.parquet"))
    for row in [row for row in rows if not row["error"]][:: max(1, SCANS // 4)]:
        number = int(row["scan"][-8:-4])
        mask = np.asarray(Image.open(out / row["scan"].replace(".png", "_mask.png")))
        expected = ensemble.predict(make_phantom(number, size=SIZE).grey)
        assert np.array_equal(mask, expected.mask)
        assert row["tumor_area_px"] == expected.tumor_area_px
        assert row["lesions"] == len(expected.lesions())

    before = (out / "findings.parquet").read_bytes()
    changed = scans / "site_1" / "scan_0001.png"
    Image.fromarray(make_phantom(9999, size=SIZE).grey).save(changed)
    status, said = end(start(scans.as_uri(), out, nodes, "--resume"))
    assert status == 1, said
    assert f"1 of 3 scans segmented, {SCANS - 1} were done before" in said
    again = pq.read_table(out / "findings.parquet").to_pylist()
    assert [row for row in again if row["scan"] != "site_1/scan_0001.png"] == [
        row for row in rows if row["scan"] != "site_1/scan_0001.png"
    ]
    assert (out / "findings.parquet").read_bytes() != before
