"""Folders and object stores, and the findings in them; the store here is in memory."""

from pathlib import Path

import pytest
from PIL import Image

from inference.errors import ScanError, SettingsError
from inference.volumes.options import VolumeOptions
from tests.conftest import file_bytes
from training.phantoms.drawing import make_phantom

pytest.importorskip("ray")
from inference.cli.ray.findings_parquet import FILE, FindingsParquet
from inference.cli.ray.object_storage import StorageFolder
from inference.cli.ray.stored_scans import find_stored_scans
from inference.cli.results.findings_file import COLUMNS, Row, failure

PNG = file_bytes(make_phantom(0, size=(64, 48)).grey)


@pytest.fixture(params=["folder", "object store"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> StorageFolder:
    if request.param == "folder":
        return StorageFolder(str(tmp_path / "own"))
    return StorageFolder(f"fsspec+memory://{tmp_path.name}")


def row(name: str, area: int = 1) -> Row:
    found = {
        "scan": name,
        "tumor_area_px": area,
        "lesions": [],
        "warnings": ["dim"],
        "fingerprint": f"f-{name}",
    }
    return dict.fromkeys(COLUMNS) | found


def test_scans_are_found_at_any_depth_and_read_where_they_are(store: StorageFolder) -> None:
    for name in ("b.png", "deep/er/a.png", "deep/er/a_mask.png", ".hidden/c.png", "notes.txt"):
        store.write(name, PNG)
    for name in ("done/made_by.json", "done/d.png", "1.2.840.7/1.dcm", "1.2.840.7/2.dcm"):
        store.write(name, PNG)
    scans = {scan.name: scan for scan in find_stored_scans([store.place])}
    assert {name: scan.result for name, scan in scans.items()} == {
        "b.png": "b",
        "deep/er/a.png": "deep/er/a",
        "1.2.840.7": "1.2.840.7",
    }
    assert [file.name for file in scans["1.2.840.7"].files] == ["1.2.840.7/1.dcm", "1.2.840.7/2.dcm"]
    pixels, volume, digest = scans["deep/er/a.png"].read(VolumeOptions())
    assert pixels.shape == (64, 48, 3)
    assert volume is None
    assert digest == scans["b.png"].read(VolumeOptions())[2]
    with pytest.raises(ScanError, match="DICOM"):
        scans["1.2.840.7"].read(VolumeOptions())
    with pytest.raises(ScanError, match=r"both have the mask b_mask\.png"):
        find_stored_scans([store.place, f"{store.place}/b.png", store.place])


def test_what_is_not_there_is_said(store: StorageFolder) -> None:
    with pytest.raises(ScanError, match="does not exist"):
        find_stored_scans([store.place])
    with pytest.raises(ScanError, match="standard input"):
        find_stored_scans(["-"])
    with pytest.raises(ScanError, match="cannot be reached"):
        StorageFolder("no-such-scheme://bucket")


def test_findings_that_were_cut_off_go_on_and_have_each_scan_once(store: StorageFolder) -> None:
    import pyarrow.parquet as pq

    first = FindingsParquet(store)
    assert first.start(resume=False) == {}
    for name in ("a.png", "b.png"):
        first.add(row(name))
    first.add(failure("bad.png", "no scan"))
    first.flush()  # and here it is cut off

    second = FindingsParquet(store)
    assert second.start(resume=True) == {"a.png": "f-a.png", "b.png": "f-b.png"}
    second.add(row("b.png", area=2))
    second.add(row("bad.png"))
    second.finish()
    with store.system.open_input_file(store._address(FILE)) as file:
        rows = pq.read_table(file).to_pylist()
    assert [(of["scan"], of["tumor_area_px"], of["error"]) for of in rows] == [
        ("a.png", 1, None),
        ("b.png", 2, None),
        ("bad.png", 1, None),
    ]
    assert rows[0]["warnings"] == "dim"
    assert rows[0]["lesion_list"] == "[]"
    assert {file.name for file in store.files()} == {FILE}

    store.write(FILE, b"no Parquet")
    with pytest.raises(ScanError, match="damaged"):
        FindingsParquet(store).start(resume=True)
    assert FindingsParquet(store).start(resume=False) == {}


def test_a_picture_beside_its_scan_is_none(tmp_path: Path) -> None:
    Image.new("L", (40, 40)).save(tmp_path / "scan.png")
    Image.new("L", (40, 40)).save(tmp_path / "scan_overlay.png")
    assert [scan.name for scan in find_stored_scans([tmp_path.as_uri()])] == ["scan.png"]


def test_each_machine_is_given_as_many_ensembles_as_it_has_room_for() -> None:
    from inference.cli.ray.segment import Resources

    assert Resources(2).of([{"CPU": 5}, {"CPU": 1}, {"CPU": 4}]) == ({"num_cpus": 2, "num_gpus": 0}, 4)
    assert Resources(2).of([{"CPU": 16, "GPU": 2}, {"CPU": 16}]) == ({"num_cpus": 2, "num_gpus": 0.5}, 4)
    with pytest.raises(SettingsError, match="no machine"):
        Resources(8).of([{"CPU": 4}, {"CPU": 4}])
    with pytest.raises(SettingsError, match="both be 0"):
        Resources(0).of([{"CPU": 4}])
