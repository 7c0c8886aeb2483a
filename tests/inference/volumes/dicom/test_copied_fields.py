"""What a stranger's header has is written validly, or left out by its name; and is quoted nowhere."""

import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag

from inference.cli.results.volume_files import VolumeFiles
from inference.errors import ScanError
from inference.volumes.dicom.copied_fields import KINDS
from inference.volumes.dicom.headers import quiet
from inference.volumes.dicom.writing import fields_left_out, make_dicom, to_bytes
from inference.volumes.reading import scan_of_path
from inference.volumes.volume_scan import VolumeScan
from training.phantoms.volume_files import write_nifti, write_series
from training.phantoms.volumes import PhantomVolume

Make = Callable[..., VolumeScan]


@pytest.fixture
def scan_with(small: PhantomVolume, tmp_path: Path) -> Make:
    """Make a scan of a series whose headers have raw bytes in some fields, or lack one that is given None."""
    quiet()

    def make(**fields: bytes | None) -> VolumeScan:
        def change(_: int, image: Dataset) -> Dataset:
            for name, value in fields.items():
                if value is None:
                    del image[name]
                    continue
                tag = Tag(tag_for_keyword(name))  # type: ignore[arg-type]
                padded = value + b" " * (len(value) % 2)
                image[tag] = RawDataElement(tag, dictionary_VR(tag), len(padded), padded, 0, False, True)
            return image

        write_series(small, tmp_path / "series", change)
        return scan_of_path(tmp_path / "series")

    return make


def written(scan: VolumeScan) -> list[Dataset]:
    mask = np.zeros((*scan.grey.shape, 3), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [dcmread(io.BytesIO(to_bytes(image))) for image in make_dicom(scan, mask)]


COPIED: dict[str, tuple[dict[str, bytes], str, str]] = {
    "a date of zeros": ({"PatientBirthDate": b"00/00/0000"}, "", "PatientBirthDate"),
    "a date of the predecessor": ({"PatientBirthDate": b"1970.02.28"}, "19700228", ""),
    "a date with dashes": ({"PatientBirthDate": b"1970-02-28"}, "19700228", ""),
    "a day that is none": ({"PatientBirthDate": b"19700230"}, "", "PatientBirthDate"),
    "a date of words": ({"PatientBirthDate": b"unknown"}, "", "PatientBirthDate"),
    "no date": ({"PatientBirthDate": b""}, "", ""),
    "sex U": ({"PatientSex": b"U"}, "", "PatientSex"),
    "Male": ({"PatientSex": b"Male"}, "M", ""),
    "female": ({"PatientSex": b"female"}, "F", ""),
    "f": ({"PatientSex": b"f"}, "F", ""),
    "two sexes": ({"PatientSex": b"M\\F"}, "", "PatientSex"),
    "a time with colons": ({"StudyTime": b"10:17:30"}, "101730", ""),
    "a time of the day": ({"StudyTime": b"10 am"}, "", "StudyTime"),
    "hour 25": ({"StudyTime": b"250000"}, "", "StudyTime"),
    "a date with slashes": ({"StudyDate": b"05/03/2024"}, "", "StudyDate"),
    "a long number": ({"AccessionNumber": b"1" * 30}, "", "AccessionNumber"),
    "a long ID": ({"StudyID": b"1" * 17}, "", "StudyID"),
    "several IDs": ({"PatientID": b"1\\2"}, "", "PatientID"),
    "an ID that controls a terminal": ({"PatientID": b"1\x1b[31m"}, "", "PatientID"),
    "a long name": ({"PatientName": b"a" * 70}, "", "PatientName"),
    "two names": ({"PatientName": b"A^B\\C^D"}, "", "PatientName"),
    "a name without caret": ({"PatientName": b"MARKED"}, "MARKED", ""),
    "a referrer without caret": ({"ReferringPhysicianName": b"MARKED"}, "MARKED", ""),
    "a Japanese name": (
        {
            "SpecificCharacterSet": b"\\ISO 2022 IR 87",
            "PatientName": b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
        },
        "Yamada^Tarou=山田^太郎",
        "",
    ),
    "a name of Latin 1": (
        {"SpecificCharacterSet": b"ISO_IR 100", "PatientName": b"M\xfcller^A"},
        "Müller^A",
        "",
    ),
    "a name of no character set": (
        {"SpecificCharacterSet": b"", "PatientName": b"M\xfcller^A"},
        "Müller^A",
        "",
    ),
    "an unknown character set": ({"SpecificCharacterSet": b"ISO_IR 999", "PatientName": b"A^B"}, "A^B", ""),
}


@pytest.mark.parametrize(("fields", "text", "left_out"), COPIED.values(), ids=COPIED.keys())
def test_a_field_is_written_validly_or_left_out_by_its_name(
    fields: dict[str, bytes], text: str, left_out: str, scan_with: Make
) -> None:
    scan = scan_with(**fields)
    name = [*fields][-1]
    for image in written(scan):
        assert str(image.get(name) or "") == text
        others = {"StudyDate": "20240305", "PatientID": "PHANTOM-3D", "StudyID": "1"}
        assert {other: image[other].value for other in others if other != name} == {
            other: value for other, value in others.items() if other != name
        }
    told = fields_left_out(scan)
    assert [sentence.split()[2] for sentence in told] == ([left_out] if left_out else [])
    for content in fields.values():
        assert len(content) < 3 or all(content.decode("latin-1") not in sentence for sentence in told)


def test_headers_of_which_no_file_can_be_made_cost_these_files_alone(scan_with: Make, tmp_path: Path) -> None:
    scan = scan_with(StudyInstanceUID=None)
    mask = np.zeros((*scan.grey.shape, 3), np.uint8)
    made = VolumeFiles(dicom_seg=True, nifti=True).made_of(scan, mask, tmp_path / "a", "seed")
    assert [path.name for path in made.files] == ["a_mask.nii.gz"]
    (told,) = made.warnings
    assert told.endswith("of the series' headers (missing field: the header has no StudyInstanceUID)")


def test_an_unforeseen_fault_of_the_writer_quotes_nothing(
    scan_with: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ValueError("MARKED")

    scan = scan_with()
    monkeypatch.setattr("inference.cli.results.volume_files.make_dicom", fail)
    mask = np.zeros((*scan.grey.shape, 3), np.uint8)
    made = VolumeFiles(dicom_seg=True).made_of(scan, mask, tmp_path / "a", "seed")
    assert (made.files, made.warnings) == (
        {},
        ("no DICOM files can be made of the series' headers (ValueError)",),
    )


def test_a_left_out_field_is_told_with_the_files(scan_with: Make, tmp_path: Path) -> None:
    scan = scan_with(PatientBirthDate=b"00/00/0000", PatientSex=b"U", StudyTime=b"10:17:30")
    mask = np.zeros((*scan.grey.shape, 3), np.uint8)
    made = VolumeFiles(dicom_seg=True).made_of(scan, mask, tmp_path / "a", "seed")
    assert [path.name for path in made.files] == ["a_mip.dcm", "a_seg.dcm"]
    assert [warning.split()[2] for warning in made.warnings] == ["PatientBirthDate", "PatientSex"]


def test_files_that_a_volume_cannot_have_are_refused(small: PhantomVolume, tmp_path: Path) -> None:
    write_nifti(small, tmp_path / "a.nii")
    scan = scan_of_path(tmp_path / "a.nii")
    mask = np.zeros((*scan.grey.shape, 3), np.uint8)
    with pytest.raises(ScanError, match="--dicom-seg needs a DICOM series"):
        VolumeFiles(dicom_seg=True).made_of(scan, mask, tmp_path / "a", None)


def test_every_field_of_a_patient_that_is_read_is_judged() -> None:
    assert {field for field in KINDS if field.startswith("Patient")} == {
        "PatientID",
        "PatientName",
        "PatientBirthDate",
        "PatientSex",
    }
