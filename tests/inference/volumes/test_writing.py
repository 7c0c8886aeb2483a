"""What is written for others to read: DICOM that a validator accepts, and NIfTI that lies in the patient."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from pydicom import dcmread

from inference.errors import ScanError
from inference.findings import Mask
from inference.volumes.dicom.writing import make_dicom
from inference.volumes.formats.nifti_writing import mask_file
from inference.volumes.options import VolumeOptions
from inference.volumes.reading import scan_of_path
from inference.volumes.volume_scan import VolumeScan, resample
from training.phantoms.volume_files import write_nifti, write_series
from training.phantoms.volumes import PhantomVolume


@pytest.fixture(scope="module")
def scan(small: PhantomVolume, tmp_path_factory: pytest.TempPathFactory) -> VolumeScan:
    series = tmp_path_factory.mktemp("written") / "series"
    write_series(small, series)
    return scan_of_path(series)


@pytest.fixture(scope="module")
def mask(scan: VolumeScan) -> Mask:
    return np.repeat((resample(scan.projection.suv, (96, 48)) > 9.2)[..., None], 3, axis=2) * np.uint8(255)


def test_the_mask_refers_to_the_mip_and_the_mip_to_the_series(
    scan: VolumeScan, mask: Mask, tmp_path: Path
) -> None:
    for name, image in zip(("mip", "mask"), make_dicom(scan, mask), strict=True):
        image.save_as(tmp_path / f"{name}.dcm", enforce_file_format=True)
    mip, stored = (dcmread(tmp_path / f"{name}.dcm") for name in ("mip", "mask"))
    np.testing.assert_array_equal(mip.pixel_array, scan.grey)
    np.testing.assert_array_equal(stored.pixel_array > 0, mask[..., 0] > 0)
    assert [item.ReferencedSOPInstanceUID for item in mip.SourceImageSequence] == [
        header.SOPInstanceUID for header in scan.headers
    ]
    (series,) = stored.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == mip.SeriesInstanceUID
    (image,) = series.ReferencedInstanceSequence
    assert image.ReferencedSOPInstanceUID == mip.SOPInstanceUID
    source = scan.headers[0]
    for written in (mip, stored):
        assert written.StudyInstanceUID == source.StudyInstanceUID
        assert (written.PatientID, written.PatientName) == (source.PatientID, source.PatientName)
    assert mip.PixelSpacing == [2, 2]
    assert make_dicom(scan, mask * 0)[1].pixel_array.max() == 0


def test_a_validator_finds_no_error(
    scan: VolumeScan, mask: Mask, tmp_path: Path, small: PhantomVolume
) -> None:
    if shutil.which("dciodvfy") is None:
        pytest.skip("dciodvfy is not installed: it comes with Debian's dicom3tools")
    write_series(small, tmp_path, lambda index, image: image if index == 3 else None)
    for name, image in zip(("mip", "mask"), make_dicom(scan, mask), strict=True):
        image.save_as(tmp_path / f"{name}.dcm", enforce_file_format=True)
    for file in tmp_path.iterdir():
        said = subprocess.run(["dciodvfy", file], capture_output=True, text=True, check=False)
        assert "Error" not in said.stdout + said.stderr, said.stderr


def test_a_nifti_mask_lies_where_the_volume_did(
    scan: VolumeScan, mask: Mask, tmp_path: Path, small: PhantomVolume
) -> None:
    (tmp_path / "mask.nii.gz").write_bytes(mask_file(scan.projected, mask))
    image = Nifti1Image.from_filename(tmp_path / "mask.nii.gz")
    assert image.shape == (48, 96, 1)
    assert image.header.get_zooms() == pytest.approx((2, 2, 20 * 6))
    tumour = np.argwhere(np.asarray(image.dataobj) > 0).mean(axis=0)
    right, anterior, up = (image.affine @ (*tumour, 1))[:3]
    left, _, below = small.lesions[0].centre_mm
    assert (right, up) == pytest.approx((-left, -below), abs=1)
    assert anterior == pytest.approx(0, abs=1e-6)  # the middle of the volume's depth
    corners = image.affine @ np.array([[-0.5, -0.5, 0, 1], [47.5, 95.5, 0, 1]]).T
    voxels = (np.linalg.inv(small.affine) @ corners)[[0, 2]]
    np.testing.assert_allclose(voxels.T, [[23.5, -0.5], [-0.5, 23.5]], atol=1e-6)


def test_what_cannot_be_written_says_so(mask: Mask, tmp_path: Path, small: PhantomVolume) -> None:
    write_nifti(small, tmp_path / "small.nii")
    with pytest.raises(ScanError, match="--dicom-seg needs a DICOM series"):
        make_dicom(scan_of_path(tmp_path / "small.nii"), mask)
    np.save(tmp_path / "array.npy", np.repeat(np.repeat(small.suv, 2, axis=0), 2, axis=2))
    scan = scan_of_path(tmp_path / "array.npy", VolumeOptions())
    with pytest.raises(ScanError, match="give --spacing"):
        mask_file(scan.projected, np.zeros((48, 48, 3), np.uint8))
