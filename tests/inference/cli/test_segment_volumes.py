"""Volumes on the command line: what is written of them, and what is said of those that are spoilt."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from nibabel.nifti1 import Nifti1Image
from PIL import Image
from pydicom import Dataset, dcmread

from inference.cli.app import main
from inference.ensemble import Ensemble
from training.phantoms.drawing import make_phantom
from training.phantoms.volume_files import write_array, write_nifti, write_series
from training.phantoms.volumes import PhantomVolume, Sphere, make_volume

SPHERE = Sphere((14.0, 12.0, 60.0), 30.0, 10.0)


@pytest.fixture(scope="module")
def volume() -> PhantomVolume:
    return make_volume(shape=(24, 20, 24), spacing_mm=(8.0, 6.0, 4.0), lesions=(SPHERE,))


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "findings.csv").open(newline="") as file:
        return {row["scan"]: row for row in csv.DictReader(file)}


def mask(path: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.asarray(Image.open(path))[..., 0] > 0


def test_volumes_go_in_and_dicom_and_nifti_come_out(
    volume: PhantomVolume, ensemble: Ensemble, tmp_path: Path
) -> None:
    write_series(volume, tmp_path / "series.v1")
    write_nifti(volume, tmp_path / "suv.nii.gz", "LPI")
    write_array(volume, tmp_path / "array.npy")
    out = tmp_path / "out"
    named = [str(tmp_path / name) for name in ("series.v1", "suv.nii.gz", "array.npy")]
    assert main(["segment", named[0], "--out", str(out), "--dicom-seg", "--nifti"]) == 0
    of_series = mask(out / "series.v1_mask.png")
    seg, mip = (dcmread(out / f"series.v1_{kind}.dcm") for kind in ("seg", "mip"))
    np.testing.assert_array_equal(seg.pixel_array > 0, of_series)
    assert seg.ReferencedSeriesSequence[0].SeriesInstanceUID == mip.SeriesInstanceUID
    nifti = Nifti1Image.from_filename(out / "series.v1_mask.nii.gz")
    np.testing.assert_array_equal(np.asarray(nifti.dataobj)[..., 0].T > 0, of_series)
    (found,) = rows(out).values()
    assert float(found["suv_max"]) == pytest.approx(10, rel=0.01)
    assert float(found["projected_area_mm2"]) == int(found["tumor_area_px"]) * 4
    assert json.loads(found["lesion_list"])[0]["suv_max"] == float(found["suv_max"])
    assert not any("Phantom" in path.name or "PHANTOM" in path.name for path in out.iterdir())

    assert main(["segment", *named[1:], "--out", str(out), "--spacing", "8,6,4"]) == 0
    for name in ("suv", "array"):
        np.testing.assert_array_equal(mask(out / f"{name}_mask.png"), of_series)
    assert set(rows(out)) == {"suv.nii.gz", "array.npy"}


def test_one_spoilt_volume_stops_no_other_scan_and_is_named(
    volume: PhantomVolume, ensemble: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def without_weight(_: int, image: Dataset) -> Dataset:
        del image.PatientWeight
        return image

    write_series(volume, tmp_path / "weightless", without_weight)
    Image.fromarray(make_phantom(1, size=(120, 96)).grey).save(tmp_path / "scan.png")
    paths = [str(tmp_path / name) for name in ("weightless", "scan.png")]
    assert main(["segment", *paths, "--out", str(tmp_path / "out")]) == 1
    found = rows(tmp_path / "out")
    assert found["weightless"]["error"].startswith("missing weight: the header has no PatientWeight")
    assert (found["scan.png"]["error"], found["scan.png"]["suv_max"]) == ("", "")
    said = capsys.readouterr()
    assert "Phantom" not in said.err + said.out
    assert main(["segment", paths[1], "--out", str(tmp_path / "out"), "--dicom-seg"]) == 1
    assert (
        rows(tmp_path / "out")["scan.png"]["error"]
        == "--dicom-seg and --nifti are for volumes, and a picture is none"
    )


def test_another_way_of_reading_is_not_resumed(
    volume: PhantomVolume, ensemble: Ensemble, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_nifti(volume, tmp_path / "suv.nii")
    command = ["segment", str(tmp_path / "suv.nii"), "--out", str(tmp_path / "out")]
    assert main(command) == 0
    assert main([*command, "--resume", "--suv-max", "5"]) == 1
    assert "were made by other folds or settings" in capsys.readouterr().err
    assert main([*command, "--suv-max", "0"]) == 1
    assert "--suv-max 0 is no SUV" in capsys.readouterr().err
