"""Volumes over HTTP: the same findings as from the projection, units, and faults by their names."""

import io
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest
from pydicom import Dataset

from inference.volumes.reading import scan_of_path
from tests.conftest import Server, file_bytes
from tests.inference.volumes.conftest import zip_folder
from training.phantoms.volume_files import write_array, write_nifti, write_series
from training.phantoms.volumes import PhantomVolume, make_volume
from utils import decode_request


@pytest.fixture(scope="module")
def volume() -> PhantomVolume:
    return make_volume(shape=(96, 30, 60), spacing_mm=(10.0, 9.0, 7.0))


@pytest.fixture(scope="module")
def folder(volume: PhantomVolume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    written = tmp_path_factory.mktemp("volumes")
    write_nifti(volume, written / "Phantom.nii.gz", "LPI")
    write_array(volume, written / "array.npy")
    write_series(volume, written / "series")
    zip_folder(written / "series", written / "Phantom^Volume.zip")
    return written


def form(path: Path) -> dict[str, tuple[str, bytes]]:
    return {"file": (path.name, path.read_bytes())}


def answer_in_all_views(server: Server, **content: object) -> dict[str, Any]:
    """Ask until there was time for every view: on a busy machine the first volume's imports leave none."""
    for _ in range(5):
        answer = server.post("/analyze", **content)
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        if found["views"] == found["model"]["tta_ops"]:
            return found
    raise AssertionError(f"only {found['views']} were seen")


def test_volumes_are_answered_as_their_projection_is_and_in_units(
    server: Server, folder: Path, volume: PhantomVolume
) -> None:
    projection = scan_of_path(folder / "series").grey
    plain = answer_in_all_views(server, files={"file": ("scan.png", file_bytes(projection))})
    assert plain["measures"] is None
    expected = decode_request(plain["img"]) > 0
    for name in ("Phantom.nii.gz", "Phantom^Volume.zip", "array.npy"):
        query = {"spacing": "10,9,7"} if name == "array.npy" else {}
        found = answer_in_all_views(server, files=form(folder / name), params=query)
        assert ((decode_request(found["img"]) > 0) != expected).sum() <= 0.01 * expected.sum()
        measures = found["measures"]
        assert measures["projected_area_mm2"] == pytest.approx(found["tumor_area_px"] * 4, rel=0.01)
        assert [lesion["id"] for lesion in measures["lesions"]] == [
            lesion["id"] for lesion in found["lesions"]
        ]
        assert max(lesion["suv_max"] for lesion in measures["lesions"]) <= volume.suv.max() * 1.01
    unsaid = server.post("/analyze", files=form(folder / "array.npy")).json()
    assert unsaid["measures"]["projected_area_mm2"] is None
    assert "Phantom" not in server.log.read_text()  # neither a file's name nor a patient's


def test_faults_are_answered_by_their_names(server: Server, folder: Path, tmp_path: Path) -> None:
    def without_weight(index: int, image: Dataset) -> Dataset | None:
        del image.PatientWeight
        return image if index < 24 else None

    write_series(make_volume(shape=(24, 20, 24)), tmp_path / "series", without_weight)
    zip_folder(tmp_path / "series", tmp_path / "weightless.zip")
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w") as archive:
        for number in range(40):
            archive.writestr(f"{number}.dcm", b"\0")
    bomb_bytes = bytearray(bomb.getvalue())
    place = bomb_bytes.find(b"PK\x01\x02")
    while place >= 0:
        struct.pack_into("<I", bomb_bytes, place + 24, 54_000_000)
        place = bomb_bytes.find(b"PK\x01\x02", place + 4)
    sent = {
        (422, "missing_weight"): ("weightless.zip", (tmp_path / "weightless.zip").read_bytes()),
        (413, "too_large"): ("bomb.zip", bytes(bomb_bytes)),
        (422, "unreadable"): ("no.nii", b"no volume" * 100),
        (422, None): ("scan.png", b"no picture"),
        (413, None): ("scan.png", b"\0" * 33_000_000),
    }
    for (status, fault), content in sent.items():
        answer = server.post("/analyze", files={"file": content})
        assert answer.headers["content-type"] == "application/problem+json"
        assert (answer.status_code, answer.json().get("fault")) == (status, fault), answer.text
    # the competition's route takes pictures alone, and as much of them as before
    refused = server.post("/predict", files=form(folder / "Phantom.nii.gz"))
    assert (refused.status_code, "neither a PNG" in refused.text) == (422, True)
    assert server.post("/predict", files={"file": ("a.zip", b"\0" * 33_000_000)}).status_code == 413
    bad = server.post("/analyze", files=form(folder / "array.npy"), params={"spacing": "4,4"})
    assert (bad.status_code, "is not three lengths" in bad.json()["detail"]) == (422, True)
