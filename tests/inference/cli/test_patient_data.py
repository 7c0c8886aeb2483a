"""No value of a patient reaches what is told or written, but the DICOM files of the patient's own study."""

import io
import warnings
from pathlib import Path

import pytest
from loguru import logger
from pydicom import Dataset
from pydicom.datadict import dictionary_VR, keyword_dict
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from inference.cli.app import main
from inference.ensemble import Ensemble
from training.phantoms.volume_files import Change, write_series
from training.phantoms.volumes import make_volume

MARK = "QZX"
TEXTS = {"PN", "LO", "SH", "ST", "LT", "UT", "DA", "TM", "CS", "AS", "DS"}
OTHERS = (
    *("OtherPatientIDs", "OtherPatientNames", "EthnicGroup", "Occupation", "AdditionalPatientHistory"),
    *("ResponsiblePerson", "MedicalAlerts", "Allergies", "CountryOfResidence", "ReferringPhysicianName"),
    *("AccessionNumber", "StudyID", "InstitutionName", "PerformingPhysicianName", "OperatorsName"),
)
FIELDS = {
    name: Tag(tag)
    for name, tag in ((name, keyword_dict[name]) for name in keyword_dict)
    if (name.startswith("Patient") or name in OTHERS) and dictionary_VR(tag) in TEXTS
}
NEEDED = {"PatientWeight"}


def marked(*, also: tuple[str, ...] = (), mark: str = MARK) -> Change:
    """Put a mark into every field of a patient, whether the field may hold such a text or not."""

    def change(_: int, image: Dataset) -> Dataset:
        for name, tag in FIELDS.items():
            if name in NEEDED and name not in also:
                continue
            content = f"{mark}{name}".encode()
            content += b" " * (len(content) % 2)
            image[tag] = RawDataElement(tag, dictionary_VR(tag), len(content), content, 0, False, True)
        return image

    return change


def told(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command, and return its exit status and all that it tells: output, warnings and log."""
    sink = io.StringIO()
    handler = logger.add(sink, level="TRACE", backtrace=True)
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            status = main(arguments)
    finally:
        logger.remove(handler)
    said = capfd.readouterr()
    return status, said.out + said.err + sink.getvalue() + "".join(str(one.message) for one in warned)


def written(folder: Path) -> str:
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix != ".dcm"]
    assert files
    return "".join(file.name + file.read_bytes().decode("latin-1") for file in files)


def test_there_are_fields_to_be_marked() -> None:
    assert {"PatientName", "PatientID", "PatientBirthDate", "PatientSex", "PatientAge"} <= FIELDS.keys()
    assert len(FIELDS) > 30


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_a_series_that_is_segmented_tells_nothing_of_its_patient(
    kind: str, ensemble: Ensemble, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_series(make_volume(shape=(24, 20, 24)), tmp_path / "series", marked())
    out = tmp_path / "out"
    command = ["segment", str(tmp_path / "series"), "--out", str(out), "--dicom-seg", "--format", kind]
    status, said = told(command, capfd)
    assert status == 0
    assert "PatientBirthDate is no valid DA" in said + written(out)
    assert MARK not in said
    assert MARK not in written(out)
    assert f"{MARK}PatientName".encode() in (out / "series_mip.dcm").read_bytes()
    assert f"{MARK}PatientName".encode() in (out / "series_seg.dcm").read_bytes()


@pytest.mark.parametrize("field", ["PatientWeight", "StudyInstanceUID", "Units"])
def test_a_series_that_is_refused_tells_nothing_of_its_patient(
    field: str, ensemble: Ensemble, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def change(index: int, image: Dataset) -> Dataset:
        image = marked(also=("PatientWeight",) if field == "PatientWeight" else ())(index, image)  # type: ignore[assignment]
        if field != "PatientWeight":
            del image[field]
        return image

    write_series(make_volume(shape=(24, 20, 24)), tmp_path / "series", change)
    out = tmp_path / "out"
    status, said = told(["segment", str(tmp_path / "series"), "--out", str(out), "--dicom-seg"], capfd)
    assert field in written(out)
    assert status == (0 if field == "StudyInstanceUID" else 1)
    assert MARK not in said + written(out)


def test_an_unforeseen_fault_quotes_nothing(
    ensemble: Ensemble, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(f"{MARK}PatientName")

    write_series(make_volume(shape=(24, 20, 24)), tmp_path / "series", marked())
    monkeypatch.setattr("inference.cli.scans.readers.scan_of_path", fail)
    status, said = told(["segment", str(tmp_path / "series"), "--out", str(tmp_path / "out")], capfd)
    assert status == 1
    assert "the scan could not be read (RuntimeError): its file may be damaged" in said
    assert "in fail" in said  # where it was, at debug level
    assert f"{MARK}PatientName" not in said + written(tmp_path / "out")
