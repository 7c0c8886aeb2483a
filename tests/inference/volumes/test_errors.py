"""What is wrong with a volume is refused by its name."""

import gzip
import shutil
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pydicom import Dataset

from inference.volumes import archive
from inference.volumes.archive import files_of_zip
from inference.volumes.errors import VolumeError
from inference.volumes.reading import scan_of_path
from tests.inference.volumes.conftest import zip_folder
from training.phantoms.volume_files import Change, write_array, write_nifti, write_series
from training.phantoms.volumes import PhantomVolume


def without(*fields: str) -> Change:
    def change(_: int, image: Dataset) -> Dataset:
        for field in fields:
            delattr(image, field)
        return image

    return change


def with_values(only: int | None = None, **values: object) -> Change:
    def change(index: int, image: Dataset) -> Dataset:
        if only in (None, index):
            for field, value in values.items():
                setattr(image, field, value)
        return image

    return change


def with_element(field: str, kind: str, value: object) -> Change:
    """Give a field another kind of value than it has."""

    def change(_: int, image: Dataset) -> Dataset:
        image.add_new(field, kind, value)
        return image

    return change


def tracer_without(field: str) -> Change:
    def change(_: int, image: Dataset) -> Dataset:
        delattr(image.RadiopharmaceuticalInformationSequence[0], field)
        return image

    return change


def leave_out(left_out: int) -> Change:
    return lambda index, image: None if index == left_out else image


def double(_: int, image: Dataset) -> Dataset:
    if image.InstanceNumber == 9:
        image.ImagePositionPatient[2] -= 8
    return image


def counts(_: int, image: Dataset) -> Dataset:
    image.Units = "CNTS"
    del image.RadiopharmaceuticalInformationSequence
    return image


FAULTS: dict[str, tuple[Change, str, str]] = {
    "no weight": (without("PatientWeight"), "missing_weight", "PatientWeight"),
    "weight 0": (with_values(PatientWeight=0), "missing_weight", "PatientWeight"),
    "missing slice": (leave_out(7), "missing_slice", "there is a gap between"),
    "missing last slice": (leave_out(23), "missing_slice", "there are 23 slices, and NumberOfSlices says 24"),
    "doubled slice": (double, "doubled_slice", "two slices lie at"),
    "mixed series": (with_values(3, SeriesInstanceUID="1.2.3"), "mixed_series", "there are 2 series"),
    "mixed modalities": (
        with_values(3, Modality="CT", SeriesInstanceUID="1.2"),
        "mixed_series",
        "'CT', 'PT'",
    ),
    "mixed sizes": (with_values(3, PixelSpacing=[5, 5]), "mixed_series", "differ in PixelSpacing"),
    "counts": (counts, "counts_without_scale", "neither a dose"),
    "modality": (with_values(Modality="CT"), "wrong_modality", "modality is 'CT'"),
    "no dose": (tracer_without("RadionuclideTotalDose"), "missing_dose", "RadionuclideTotalDose"),
    "no tracer": (without("RadiopharmaceuticalInformationSequence"), "missing_dose", "Radiopharmaceutical"),
    "no half life": (tracer_without("RadionuclideHalfLife"), "missing_field", "RadionuclideHalfLife"),
    "no start": (tracer_without("RadiopharmaceuticalStartTime"), "missing_field", "StartTime"),
    "no units": (without("Units"), "missing_field", "no Units"),
    "no series time": (without("SeriesTime"), "missing_field", "no SeriesTime"),
    "no position": (without("ImagePositionPatient"), "missing_field", "no ImagePositionPatient"),
    "no slope": (without("RescaleSlope"), "missing_field", "no RescaleSlope"),
    "other units": (with_values(Units="PROPCNTS"), "unsupported_units", "PROPCNTS"),
    "not attenuation corrected": (with_values(CorrectedImage=["DECY"]), "not_corrected", "attenuation"),
    "no decay correction": (
        with_values(DecayCorrection="NONE"),
        "not_corrected",
        "DecayCorrection is 'NONE'",
    ),
    "short pixels": (with_values(5, PixelData=b"\0" * 100), "cut_short", "image 6 of the series is damaged"),
    "frames that are a name": (
        with_element("NumberOfFrames", "LO", "Doe^John"),
        "missing_field",
        "NumberOfFrames makes no sense",
    ),
    "units that are a sequence": (
        with_element("Units", "SQ", [Dataset()]),
        "unreadable",
        "Units is a sequence",
    ),
    "no sequence": (
        with_element("RadiopharmaceuticalInformationSequence", "LO", "FDG"),
        "unreadable",
        "RadiopharmaceuticalInformationSequence is no sequence",
    ),
    "frames": (with_values(NumberOfFrames=2), "wrong_shape", "NumberOfFrames is not 1"),
}


@pytest.mark.parametrize(("change", "fault", "said"), FAULTS.values(), ids=FAULTS.keys())
def test_a_spoilt_series_is_refused_by_the_faults_name(
    change: Change, fault: str, said: str, small: PhantomVolume, tmp_path: Path
) -> None:
    write_series(small, tmp_path / "series", change)
    with pytest.raises(VolumeError) as caught:
        scan_of_path(tmp_path / "series")
    assert (caught.value.fault, said in str(caught.value)) == (fault, True), str(caught.value)
    assert "Phantom" not in str(caught.value)


def test_a_bomb_is_refused_from_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as file:
        for number in range(40):
            file.writestr(f"{number}.dcm", b"\0" * 1000)
    data = bytearray(bomb.read_bytes())
    for place in _directory_entries(data):
        data[place + 24 : place + 28] = (54_000_000).to_bytes(4, "little")  # 2.16 GB altogether
    bomb.write_bytes(data)

    def unpack(*_: object, **__: object) -> None:
        raise AssertionError("something was unpacked")

    monkeypatch.setattr(zipfile.ZipFile, "open", unpack)
    with pytest.raises(VolumeError, match=r"^too large: the files have 2160 MB"):
        scan_of_path(bomb)


def _directory_entries(data: bytearray) -> list[int]:
    places, place = [], data.find(b"PK\x01\x02")
    while place >= 0:
        places.append(place)
        place = data.find(b"PK\x01\x02", place + 4)
    return places


def test_an_archive_gives_no_more_than_its_directory_says_and_writes_nothing(
    small: PhantomVolume, tmp_path: Path
) -> None:
    write_series(small, tmp_path / "series")
    path = tmp_path / "climbing.zip"
    with zipfile.ZipFile(path, "w") as file:
        for number, image in enumerate((tmp_path / "series").iterdir()):
            file.write(image, f"../../{number}.dcm")
        file.writestr("README", "no image")
    before = sorted(tmp_path.rglob("*"))
    assert scan_of_path(path).projection.suv.max() == pytest.approx(10, rel=0.001)
    assert sorted(tmp_path.rglob("*")) == before
    with path.open("rb") as opened, files_of_zip(opened) as openers:
        assert len(openers) == 25


def test_limits_hold_for_folders_too(
    small: PhantomVolume, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(small, tmp_path / "series")
    zip_folder(tmp_path / "series", tmp_path / "series.zip")
    monkeypatch.setattr(archive, "MAX_FILES", 20)
    for name in ("series", "series.zip"):
        with pytest.raises(VolumeError, match="there are 24 files, and at most 20 are read"):
            scan_of_path(tmp_path / name)


def _cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])


def test_files_that_are_none_or_cut_short(small: PhantomVolume, tmp_path: Path) -> None:
    write_nifti(small, tmp_path / "cut.nii")
    write_nifti(small, tmp_path / "cut.nii.gz")
    write_array(small, tmp_path / "cut.npy")
    for name in ("cut.nii", "cut.nii.gz", "cut.npy"):
        _cut(tmp_path / name)
    np.save(tmp_path / "flat.npy", small.suv[0])
    np.save(tmp_path / "objects.npy", np.array([[["a"]]], dtype=object), allow_pickle=True)
    with (tmp_path / "huge.npy").open("wb") as file:
        kind = {"descr": "<f4", "fortran_order": False, "shape": (2000, 2000, 2000)}
        np.lib.format.write_array_header_1_0(file, kind)
    for name in ("no.nii", "no.npy", "no.zip", "no.nii.gz"):
        (tmp_path / name).write_bytes(b"not what its name says" * 40)
    (tmp_path / "gz.nii.gz").write_bytes(gzip.compress(b"\0" * 5000))
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    faults = SimpleNamespace(cut="cut_short", flat="wrong_shape", objects="unreadable", huge="too_large")
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(VolumeError) as caught:
            scan_of_path(path)
        assert caught.value.fault == getattr(faults, path.name.partition(".")[0], "unreadable"), path.name


def test_a_nifti_file_without_orientation_asks_for_one(small: PhantomVolume, tmp_path: Path) -> None:
    import nibabel

    image = nibabel.Nifti1Image(small.suv, None)
    nibabel.save(image, tmp_path / "unsaid.nii")
    with pytest.raises(VolumeError, match=r"^no orientation: .* name it with --orientation"):
        scan_of_path(tmp_path / "unsaid.nii")
    shutil.rmtree(tmp_path)
