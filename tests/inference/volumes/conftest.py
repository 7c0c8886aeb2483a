import zipfile
from pathlib import Path

import pytest

from training.phantoms.volume_files import write_array, write_nifti, write_series
from training.phantoms.volumes import PhantomVolume, Sphere, make_volume

FILES = ("ras.nii", "psl.nii.gz", "array.npy", "series", "series.zip")
SMALL = {"shape": (24, 20, 24), "spacing_mm": (8.0, 6.0, 4.0)}


@pytest.fixture(scope="session")
def volume() -> PhantomVolume:
    return make_volume()


@pytest.fixture(scope="session")
def small() -> PhantomVolume:
    """A volume of few slices and one lesion, for what is quick."""
    return make_volume(**SMALL, lesions=(Sphere((14.0, 12.0, 60.0), 30.0, 10.0),))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def folder(volume: PhantomVolume, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One volume as NIfTI in two orientations, as an array, and as a DICOM series in a folder and a zip."""
    written = tmp_path_factory.mktemp("volumes")
    write_nifti(volume, written / "ras.nii")
    write_nifti(volume, written / "psl.nii.gz", "PSL")
    write_array(volume, written / "array.npy")
    write_series(volume, written / "series")
    zip_folder(written / "series", written / "series.zip")
    return written


def zip_folder(folder: Path, path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in folder.iterdir():
            archive.write(file, f"images/{file.name}")
