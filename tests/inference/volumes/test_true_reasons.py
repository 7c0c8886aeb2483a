"""A file of another form than most is read, or refused for what it is and with what to do."""

import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import DeflatedExplicitVRLittleEndian, EnhancedPETImageStorage, ImplicitVRLittleEndian

from inference.cli.scans.sources import Source, find_sources
from inference.volumes.dicom import file_forms
from inference.volumes.errors import VolumeError
from inference.volumes.options import VolumeOptions
from inference.volumes.reading import scan_of_path, scan_of_series
from training.phantoms.volume_files import Change, write_nifti, write_series
from training.phantoms.volumes import PhantomVolume

Rewrite = Callable[[bytes], bytes]


def deflated(content: bytes) -> bytes:
    image = dcmread(io.BytesIO(content))
    image.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, image)
    assert len(buffer.getvalue()) != len(content)
    return buffer.getvalue()


def without_preamble(content: bytes) -> bytes:
    return content[132:]


def dataset_alone(content: bytes) -> bytes:
    length = int.from_bytes(content[140:144], "little")
    return content[144 + length :]


def implicit_alone(content: bytes) -> bytes:
    image = dcmread(io.BytesIO(content))
    image.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    buffer = io.BytesIO()
    dcmwrite(buffer, image, implicit_vr=True, little_endian=True)
    return dataset_alone(buffer.getvalue())


@pytest.fixture
def series(small: PhantomVolume, tmp_path: Path) -> Path:
    write_series(small, tmp_path / "series")
    return tmp_path / "series"


@pytest.mark.parametrize("rewrite", [deflated, without_preamble, dataset_alone, implicit_alone])
def test_another_form_of_dicom_is_read(rewrite: Rewrite, series: Path) -> None:
    expected = scan_of_path(series).grey
    for file in series.iterdir():
        file.write_bytes(rewrite(file.read_bytes()))
    np.testing.assert_array_equal(scan_of_path(series).grey, expected)
    assert find_sources([str(series)], bytes) == [Source(series)]
    files = [(io.BytesIO(file.read_bytes()), file.stat().st_size) for file in series.iterdir()]
    np.testing.assert_array_equal(scan_of_series(files).grey, expected)


def test_a_deflated_file_is_inflated_no_further_than_files_may_be_large(
    series: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_forms, "MAX_FILE_BYTES", 100_000)
    file = min(series.iterdir())
    content = deflated(file.read_bytes())
    begins = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    file.write_bytes(content[:begins] + packer.compress(bytes(200_000_000)) + packer.flush())
    with pytest.raises(
        VolumeError, match=r"^too large: a deflated file has more than 0 MB when it is inflated"
    ):
        scan_of_path(series)


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_deflated_file_that_is_cut_short_is_one(kept: float, series: Path) -> None:
    for file in series.iterdir():
        content = deflated(file.read_bytes())
        file.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(VolumeError, match=r"^cut short: "):
        scan_of_path(series)


@pytest.mark.parametrize("lost", [1, 2, 500])
def test_a_slice_that_is_cut_short_is_named_as_one(lost: int, series: Path) -> None:
    file = max(series.iterdir())
    number = dcmread(file).InstanceNumber
    file.write_bytes(file.read_bytes()[:-lost])
    with pytest.raises(
        VolumeError, match=rf"^cut short: image {number} of the series is damaged or cut short"
    ):
        scan_of_path(series)


def raw(field: str, content: bytes) -> Change:
    def change(_: int, image: Dataset) -> Dataset:
        tag = Tag(tag_for_keyword(field))  # type: ignore[arg-type]
        image[tag] = RawDataElement(tag, "DS", len(content), content, 0, False, True)
        return image

    return change


@pytest.mark.parametrize("content", [b"72,5", b"72.5 kg ", b"heavy "])
def test_a_weight_that_is_no_number_is_not_said_to_be_missing(
    content: bytes, small: PhantomVolume, tmp_path: Path
) -> None:
    write_series(small, tmp_path / "series", raw("PatientWeight", content))
    with pytest.raises(VolumeError, match=r"^implausible value: PatientWeight is no number") as caught:
        scan_of_path(tmp_path / "series")
    assert content.decode().strip() not in str(caught.value).replace("DICOM writes 72.5", "")


def enhanced(_: int, image: Dataset) -> Dataset:
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = EnhancedPETImageStorage
    return image


def secondary(_: int, image: Dataset) -> Dataset:
    image.SOPClassUID = "1.2.840.10008.5.1.4.1.1.7"
    return image


def frames(count: int) -> Change:
    def change(index: int, image: Dataset) -> Dataset:
        image.ImagePositionPatient = [0, 0, 8.0 * (index // count)]
        return image

    return change


KINDS: dict[str, tuple[Change, str]] = {
    "enhanced": (enhanced, "of the kind Enhanced PET Image Storage, with all slices in a file: export"),
    "secondary": (secondary, "of the kind Secondary Capture Image Storage, and not PET Image Storage"),
    "dynamic of 2": (
        frames(2),
        "wrong shape: there are 2 images at each of 12 places: the series is dynamic",
    ),
    "dynamic of 6": (frames(6), "wrong shape: there are 6 images at each of 4 places: the series is dynamic"),
    "several frames": (raw("NumberOfFrames", b"3 "), "NumberOfFrames is not 1: .* give a slice a file"),
    "frames without a number": (raw("NumberOfFrames", b"abc "), "NumberOfFrames makes no sense"),
}


@pytest.mark.parametrize(("change", "said"), KINDS.values(), ids=KINDS.keys())
def test_other_kinds_of_pet_are_named(
    change: Change, said: str, small: PhantomVolume, tmp_path: Path
) -> None:
    write_series(small, tmp_path / "series", change)
    with pytest.raises(VolumeError, match=said):
        scan_of_path(tmp_path / "series")


@pytest.mark.parametrize("shape", [(1,), (1, 1), ()], ids=str)
@pytest.mark.parametrize("behind", [(), (1,), (1, 1)], ids=str)
def test_axes_of_one_are_no_axes(
    shape: tuple[int, ...], behind: tuple[int, ...], small: PhantomVolume, tmp_path: Path
) -> None:
    np.save(tmp_path / "plain.npy", small.suv)
    np.save(tmp_path / "more.npy", small.suv.reshape((*shape, *small.suv.shape, *behind)))
    options = VolumeOptions(spacing_mm=small.spacing_mm)
    expected = scan_of_path(tmp_path / "plain.npy", options).grey
    np.testing.assert_array_equal(scan_of_path(tmp_path / "more.npy", options).grey, expected)


@pytest.mark.parametrize("behind", [(1,), (1, 1), (1, 1, 1, 1)], ids=str)
def test_a_nifti_file_of_one_frame_is_a_volume(
    behind: tuple[int, ...], small: PhantomVolume, tmp_path: Path
) -> None:
    write_nifti(small, tmp_path / "a.nii")
    expected = scan_of_path(tmp_path / "a.nii").grey
    plain: Any = nibabel.load(tmp_path / "a.nii")
    values = np.asarray(plain.dataobj)
    image = nibabel.Nifti1Image(values.reshape((*values.shape, *behind)), plain.affine)
    nibabel.save(image, tmp_path / "b.nii")
    np.testing.assert_array_equal(scan_of_path(tmp_path / "b.nii").grey, expected)


def test_a_dynamic_file_is_named(small: PhantomVolume, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.stack([small.suv] * 3))
    with pytest.raises(
        VolumeError, match=r"this file has 4 \(3 x 24 x 20 x 24\): of a dynamic series, give one"
    ):
        scan_of_path(tmp_path / "a.npy")


@pytest.mark.parametrize("size", [16, 100_000, 3_000_000])
def test_an_extension_of_a_nifti_file_is_passed_over(size: int, small: PhantomVolume, tmp_path: Path) -> None:
    write_nifti(small, tmp_path / "a.nii")
    image: Any = nibabel.load(tmp_path / "a.nii")
    expected = scan_of_path(tmp_path / "a.nii").grey
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"a" * size))
    for name in ("b.nii", "b.nii.gz"):
        nibabel.save(image, tmp_path / name)
        np.testing.assert_array_equal(scan_of_path(tmp_path / name).grey, expected)


def patched(small: PhantomVolume, path: Path, at: int, content: bytes) -> Path:
    write_nifti(small, path)
    data = bytearray(path.read_bytes())
    data[at : at + len(content)] = content
    path.write_bytes(data)
    return path


def test_a_nifti_file_without_an_offset_has_the_usual_one(small: PhantomVolume, tmp_path: Path) -> None:
    write_nifti(small, tmp_path / "a.nii")
    expected = scan_of_path(tmp_path / "a.nii").grey
    path = patched(small, tmp_path / "b.nii", 108, np.float32(0).tobytes())
    np.testing.assert_array_equal(scan_of_path(path).grey, expected)


NIFTI: dict[str, tuple[int, bytes, str]] = {
    "offset 100": (108, np.float32(100).tobytes(), "vox_offset is 100, and must be from 352"),
    "offset 1e9": (108, np.float32(1e9).tobytes(), "vox_offset is 1000000000, and must be from"),
    "pair": (344, b"ni1\0", "the header of a pair"),
    "complex": (70, np.int16(32).tobytes(), "complex64'?, and not numbers"),
    "unit 7": (123, b"\x07", "xyzt_units is 7, and names no unit"),
    "unit 255": (123, b"\xff", "xyzt_units is 255, and names no unit"),
}


@pytest.mark.parametrize(("at", "content", "said"), NIFTI.values(), ids=NIFTI.keys())
def test_a_field_of_a_nifti_header_is_named(
    at: int, content: bytes, said: str, small: PhantomVolume, tmp_path: Path
) -> None:
    with pytest.raises(VolumeError, match=said):
        scan_of_path(patched(small, tmp_path / "a.nii", at, content))


def test_a_quaternion_longer_than_one_is_named(small: PhantomVolume, tmp_path: Path) -> None:
    path = patched(small, tmp_path / "a.nii", 252, np.array([1, 0], np.int16).tobytes())
    data = bytearray(path.read_bytes())
    data[256:268] = np.array([1.01, 0.2, 0.1], np.float32).tobytes()
    path.write_bytes(data)
    with pytest.raises(VolumeError, match=r"quatern_b, _c and _d have a length of 1.03446, and at most 1 is"):
        scan_of_path(path)


def test_what_is_no_dicom_file_is_not_taken_for_one() -> None:
    others: list[Any] = [b"", b"\x08\0", b"\x89PNG\r\n\x1a\n" + bytes(200), b"text " * 40, bytes(200)]
    others += [b"\x08\0\x05\0" + b"\xff" * 20, b"PK\3\4" + bytes(200)]
    assert [head for head in others if file_forms.is_dicom(head)] == []


def test_files_in_a_zip_archive_may_have_another_form_too(series: Path, tmp_path: Path) -> None:
    expected = scan_of_path(series).grey
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for number, file in enumerate(series.iterdir()):
            form = (deflated, without_preamble, dataset_alone, bytes)[number % 4]
            archive.writestr(file.name, form(file.read_bytes()))
    np.testing.assert_array_equal(scan_of_path(tmp_path / "a.zip").grey, expected)


@pytest.mark.parametrize(
    "text",
    ["{[]: 1}", "{'descr': []}", "1", "{'shape': 'a', 'descr': 'f4', 'fortran_order': 0}", "((((", "\0"],
)
def test_a_header_of_an_array_that_makes_no_sense_is_named(text: str, tmp_path: Path) -> None:
    header = text.encode().ljust(117) + b"\n"
    (tmp_path / "a.npy").write_bytes(
        b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + bytes(999)
    )
    with pytest.raises(VolumeError, match=r"^unreadable: the file is no NumPy array .* \(its header: "):
        scan_of_path(tmp_path / "a.npy")
