"""Segmenting what lies in a PACS: there and back, and what is said where that fails.

The PACS is Orthanc, Debian's packages `orthanc` and `orthanc-dicomweb`.
"""

import csv
import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset, dcmread
from pydicom.uid import generate_uid

from inference.cli.app import main
from inference.ensemble import Ensemble, load_ensemble
from tests.conftest import ROOT, plain_settings
from tests.ports import free_port
from tests.stand_ins.cutting_proxy import CuttingProxy, cutting_proxy
from tests.stand_ins.orthanc import INSTALLED, KEEPER, READER, Orthanc, running_orthanc
from training.phantoms.volume_files import Change, write_series
from training.phantoms.volumes import PhantomVolume, Sphere, make_volume

pytestmark = pytest.mark.skipif(not INSTALLED, reason="it needs Debian's orthanc and orthanc-dicomweb")

SPHERE = Sphere((14.0, 12.0, 60.0), 30.0, 10.0)
PATIENT = ("Phantom", "PHANTOM-3D", "NO-MASKS", "ACCESSION-1")


@dataclass(frozen=True)
class Said:
    """How a command ended: its exit status, and what it wrote to standard output and to standard error."""

    status: int
    out: str
    err: str

    @property
    def fault(self) -> str:
        """Return the last line that is not the progress bar's."""
        return [line for line in self.err.splitlines() if line.strip()][-1]


class Client:
    """Who runs the command, with a password in the environment, and looks at what it says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys

    def run(self, *arguments: object, user: tuple[str, str] = KEEPER) -> Said:
        self.monkeypatch.setenv("PACS_PASSWORD", user[1])
        status = main(["pacs", *map(str, arguments), "--user", user[0]])
        said = Said(status, *self.capsys.readouterr())
        secrets = [secret for secret in (user[1], *PATIENT) if secret]
        assert not any(secret in said.out + said.err for secret in secrets), said
        assert "Traceback" not in said.err
        return said


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Client:
    monkeypatch.setattr("inference.volumes.pacs.session.WAITS_S", (0.05, 0.05))
    monkeypatch.setattr("inference.volumes.pacs.storing.SHOWN_WITHIN_S", (0.05,))
    monkeypatch.delenv("PACS_TOKEN", raising=False)
    return Client(monkeypatch, capsys)


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    with running_orthanc(tmp_path_factory.mktemp("orthanc")) as running:
        yield running


@pytest.fixture
def proxy(orthanc: Orthanc) -> Iterator[CuttingProxy]:
    with cutting_proxy(orthanc.url) as running:
        yield running


@pytest.fixture(scope="module")
def volume() -> PhantomVolume:
    return make_volume(shape=(24, 20, 24), spacing_mm=(8.0, 6.0, 4.0), lesions=(SPHERE,))


def keep(orthanc: Orthanc, volume: PhantomVolume, folder: Path, change: Change | None = None) -> str:
    """Write a series, have Orthanc keep it, and return its study's UID."""
    write_series(volume, folder, change)
    orthanc.keep(folder)
    return str(dcmread(next(folder.iterdir()), stop_before_pixels=True).StudyInstanceUID)


def with_values(**values: str) -> Change:
    def change(_: int, image: Dataset) -> Dataset:
        for field, value in values.items():
            setattr(image, field, value)
        return image

    return change


def rows(out: Path) -> list[dict[str, str]]:
    with (out / "findings.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def stored(orthanc: Orthanc, study: str) -> tuple[list[Dataset], list[Dataset]]:
    """Return the MIPs and the masks that a study has."""

    def read(modality: str) -> list[Dataset]:
        return [dcmread(io.BytesIO(content)) for content in orthanc.files(study, modality)]

    return read("OT"), read("SEG")


def test_a_series_goes_there_and_back(
    orthanc: Orthanc, client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the real folds: the mask in the PACS is the one that `segment --dicom-seg` writes."""
    loaded = load_ensemble(plain_settings(models_dir=ROOT / "models", tta=False))
    for command in ("pacs", "segment"):
        monkeypatch.setattr(f"inference.cli.{command}.load_ensemble", lambda _: loaded)
    body = make_volume(shape=(96, 30, 60), spacing_mm=(10.0, 9.0, 7.0))
    study = keep(orthanc, body, tmp_path / "series")
    out = tmp_path / "out"
    said = client.run("segment", orthanc.dicomweb, study, "--out", out)
    assert (said.status, said.fault) == (0, "2 objects stored in the study")

    (mip,), (mask,) = stored(orthanc, study)
    assert main(["segment", str(tmp_path / "series"), "--dicom-seg", "--out", str(tmp_path / "local")]) == 0
    local = dcmread(tmp_path / "local" / "series_seg.dcm")
    assert local.pixel_array.any()
    np.testing.assert_array_equal(mask.pixel_array, local.pixel_array)
    np.testing.assert_array_equal(mip.pixel_array, dcmread(tmp_path / "local" / "series_mip.dcm").pixel_array)
    (reference,) = mask.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert reference.ReferencedSOPInstanceUID == mip.SOPInstanceUID
    assert (mip.PatientID, mask.StudyInstanceUID) == ("PHANTOM-3D", study)

    (row,), (local_row,) = rows(out), rows(tmp_path / "local")
    of_a_scan = ("scan", "fingerprint")
    assert [row[name] for name in row if name not in of_a_scan] == [
        local_row[name] for name in local_row if name not in of_a_scan
    ]
    names = sorted(path.name.removeprefix(row["scan"]) for path in out.iterdir())
    written = ["_mask.png", "_mip.dcm", "_overlay.png", "_seg.dcm", "findings.csv", "made_by.json"]
    assert names == written


def test_what_is_stored_is_stored_once(
    orthanc: Orthanc, client: Client, ensemble: Ensemble, volume: PhantomVolume, tmp_path: Path
) -> None:
    study = keep(orthanc, volume, tmp_path / "series")
    out = tmp_path / "out"
    first = client.run("segment", orthanc.dicomweb, study, "--out", out)
    assert first.fault == "2 objects stored in the study"
    again = client.run("segment", orthanc.dicomweb, study, "--out", tmp_path / "elsewhere")
    assert again.fault == "0 objects stored in the study, 2 were there before"
    resumed = client.run("segment", orthanc.dicomweb, study, "--out", out, "--resume")
    assert (resumed.status, resumed.fault) == (0, again.fault)
    assert [len(objects) for objects in stored(orthanc, study)] == [1, 1]
    other = client.run("segment", orthanc.dicomweb, study, "--out", out, "--suv-max", 5)
    assert other.fault == "2 objects stored in the study"


def test_query_lists_series_and_names_nobody(
    orthanc: Orthanc, client: Client, volume: PhantomVolume, tmp_path: Path
) -> None:
    whom = {"PatientID": "PHANTOM-3D-Q", "StudyDate": "20230102", "SeriesDescription": "PET\x1b[31m WB"}
    study = keep(orthanc, volume, tmp_path / "one", with_values(**whom))
    keep(orthanc, volume, tmp_path / "other", with_values(**whom | {"StudyDate": "20230107"}))
    for question, expected in (
        (("--study", study), 1),
        (("--patient", "PHANTOM-3D-Q"), 2),
        (("--date", "20230101-20230103"), 1),
        (("--date", "20230107", "--patient", "PHANTOM-3D-Q"), 1),
        (("--date", "19990101"), 0),
    ):
        said = client.run("query", orthanc.dicomweb, *question)
        lines = said.out.splitlines()
        assert (said.status, len(lines), said.fault) == (0, 1 + expected, f"{expected} PET series"), said
    listed = client.run("query", orthanc.dicomweb, "--study", study).out.splitlines()
    assert listed[0].split() == ["study", "series", "date", "images", "description"]
    series = dcmread(next((tmp_path / "one").iterdir())).SeriesInstanceUID
    assert listed[1].split() == [study, series, "20230102", "24", "PET[31m", "WB"]
    few = client.run("query", orthanc.dicomweb, "--patient", "PHANTOM-3D-Q", "--limit", 1)
    assert "there are more than 1 studies" in few.fault


def test_what_is_not_there_or_not_clear_is_said(
    orthanc: Orthanc, client: Client, ensemble: Ensemble, volume: PhantomVolume, tmp_path: Path
) -> None:
    second = str(generate_uid())
    study = keep(orthanc, volume, tmp_path / "one")
    keep(orthanc, volume, tmp_path / "two", with_values(StudyInstanceUID=study, SeriesInstanceUID=second))
    ct = keep(orthanc, volume, tmp_path / "ct", with_values(Modality="CT"))
    spoilt = keep(orthanc, volume, tmp_path / "spoilt", with_values(PatientWeight=""))
    out = tmp_path / "out"
    pacs, root = orthanc.dicomweb, orthanc.url
    for arguments, sentence in (
        ((pacs, study), f"{second} (24 images)"),
        ((pacs, study), "the study has 2 PET series, name one with --series: "),
        ((pacs, study, "--series", "1.2.3"), "the study has no PET series of the --series UID"),
        ((pacs, "1.2.3"), "the PACS has no such study"),
        ((pacs, "ACCESSION-1"), "the study has to be named by its UID"),
        ((pacs, ct), "the study has no PET series (modality PT), but 1 CT"),
        ((root, study), "the server's answer is none of DICOMweb"),
        ((f"{root}/elsewhere", study), "the server's answer is none of DICOMweb"),
        ((f"http://127.0.0.1:{free_port()}", study), "cannot be reached: see whether it runs"),
        (("pacs.example.org", study), "the PACS' address is none: give the address"),
        (("http://me:PHANTOM-3D@127.0.0.1", study), "holds a user or password: give --user"),
    ):
        said = client.run("segment", *arguments, "--out", out)
        assert (said.status, said.fault.startswith("error: ")) == (1, True), said
        assert sentence in said.fault
        assert not out.exists()
    failed = client.run("segment", pacs, spoilt, "--out", out)
    assert (failed.status, stored(orthanc, spoilt)) == (1, ([], []))
    assert rows(out)[0]["error"].startswith("missing weight")
    chosen = client.run("segment", pacs, study, "--series", second, "--out", out, "--no-store", "--resume")
    assert (chosen.status, stored(orthanc, study), len(rows(out))) == (0, ([], []), 2)


def test_who_may_not_ask_or_store_is_told(
    orthanc: Orthanc,
    client: Client,
    ensemble: Ensemble,
    volume: PhantomVolume,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = keep(orthanc, volume, tmp_path / "series")
    masks = keep(orthanc, volume, tmp_path / "masks", with_values(PatientID="NO-MASKS"))
    command = ("segment", orthanc.dicomweb, study, "--out", tmp_path / "out")
    wrong = client.run(*command, user=("keeper", "not the password"))
    assert (wrong.status, "does not accept user and password" in wrong.fault) == (1, True)
    missing = client.run(*command, user=("keeper", ""))
    assert (missing.status, missing.fault) == (
        1,
        "error: --user needs a password: set PACS_PASSWORD in the environment",
    )
    reader = client.run(*command, user=READER)
    assert reader.status == 1
    assert "the store is incomplete, 0 of 2 objects are in the PACS: " in reader.fault
    assert "does not allow this" in reader.fault
    refused = client.run("segment", orthanc.dicomweb, masks, "--out", tmp_path / "masks_out")
    assert refused.status == 1
    assert "the store is incomplete, 1 of 2 objects are in the PACS: " in refused.fault
    assert [len(objects) for objects in stored(orthanc, masks)] == [1, 0]

    monkeypatch.delenv("PACS_PASSWORD")
    for token, sentence in ((None, "wants to know who asks"), ("a.token", "does not accept the token")):
        if token:
            monkeypatch.setenv("PACS_TOKEN", token)
        assert main(["pacs", *map(str, command)]) == 1
        said = capsys.readouterr().err
        assert sentence in said
        assert "a.token" not in said


def test_a_dropped_connection_costs_another_attempt_and_not_more_than_that(
    orthanc: Orthanc,
    proxy: CuttingProxy,
    client: Client,
    ensemble: Ensemble,
    volume: PhantomVolume,
    tmp_path: Path,
) -> None:
    study = keep(orthanc, volume, tmp_path / "series")
    out = tmp_path / "out"
    url = f"http://127.0.0.1:{proxy.port}/dicom-web"
    command = ("segment", url, study, "--out", out)

    assert client.run(*command, "--no-store").status == 0
    fetched, asked = proxy.passed["answers"], proxy.passed["requests"]
    before_the_mip_ends = asked + next(out.glob("*_mip.dcm")).stat().st_size

    shutil.rmtree(out)
    proxy.cut("answers", after=fetched * 2 // 3, times=99)  # amid the images
    broken = client.run(*command)
    assert (broken.status, proxy.cut_off, out.exists()) == (1, 3, False)
    assert "broke off 3 times: try again" in broken.fault
    proxy.cut("answers", after=fetched * 2 // 3, times=2)
    assert (client.run(*command, "--no-store").status, proxy.cut_off, len(rows(out))) == (0, 2, 1)

    proxy.cut("requests", after=before_the_mip_ends, times=99)
    broken = client.run(*command)
    assert (broken.status, proxy.cut_off) == (1, 3)
    assert "the store is incomplete" in broken.fault
    assert "broke off 3 times" in broken.fault
    proxy.cut("requests", after=before_the_mip_ends, times=1)
    mended = client.run(*command, "--resume")
    assert (mended.status, proxy.cut_off) == (0, 1), mended
    assert [len(objects) for objects in stored(orthanc, study)] == [1, 1]
    assert np.asarray(Image.open(next(out.glob("*_mask.png")))).any()
