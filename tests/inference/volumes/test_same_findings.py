"""One volume in every form gives one mask, and what was measured is what the phantom was made with."""

from pathlib import Path

import numpy as np
import pytest

from inference.ensemble import Ensemble, load_ensemble
from inference.findings import find_lesions
from inference.volumes.measurement import measure
from inference.volumes.options import VolumeOptions
from inference.volumes.reading import scan_of_path
from inference.volumes.volume_scan import Projected, VolumeScan, resample
from tests.conftest import ROOT, plain_settings
from tests.inference.volumes.conftest import FILES
from training.phantoms.volumes import PhantomVolume, Sphere, make_volume
from training.scans.dataset import Label
from utils import dice_score


@pytest.fixture(scope="module")
def ensemble() -> Ensemble:
    return load_ensemble(plain_settings(models_dir=ROOT / "models"))


@pytest.fixture(scope="module")
def scans(folder: Path, volume: PhantomVolume) -> list[VolumeScan]:
    options = VolumeOptions(spacing_mm=volume.spacing_mm)
    return [scan_of_path(folder / name, options) for name in FILES]


def shadow(scan: VolumeScan, sphere: Sphere) -> Label:
    """Return where a sphere's shadow falls on a scan (H, W), by the scan's affine alone."""
    rows, columns = np.indices(scan.grey.shape)
    places = np.stack([columns, rows, np.zeros_like(rows), np.ones_like(rows)], axis=-1)  # (H, W, 4)
    right, _, up, _ = np.moveaxis(places @ scan.affine.T, -1, 0)
    left, _, below = sphere.centre_mm
    return np.asarray((right + left) ** 2 + (up + below) ** 2 <= sphere.radius_mm**2)


def as_mask(label: Label) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.repeat((label * np.uint8(255))[..., None], 3, axis=2)


def test_one_volume_in_five_forms_gives_one_mask_and_the_true_uptakes(
    scans: list[VolumeScan], volume: PhantomVolume, ensemble: Ensemble
) -> None:
    predictions = [ensemble.predict(scan.grey) for scan in scans]
    first = predictions[0].mask[..., 0] > 0
    measures = [measure(s.projected, p.mask, p.lesions()) for s, p in zip(scans, predictions, strict=True)]
    assert first.any()
    for prediction, found in zip(predictions, measures, strict=True):
        assert ((prediction.mask[..., 0] > 0) != first).sum() <= 0.01 * first.sum()
        assert found.projected_area_mm2 == pytest.approx(measures[0].projected_area_mm2, rel=0.01)
        uptakes = [lesion.suv_max for lesion in found.lesions]
        for lesion in volume.lesions:
            assert min(abs(uptake - lesion.suv) for uptake in uptakes) <= 0.01 * lesion.suv


def test_areas_uptakes_and_distances_are_those_the_phantom_was_made_with() -> None:
    spheres = (Sphere((70.7, -10.0, 300.3), 36.0, 9.0), Sphere((-59.3, 20.0, 540.3), 40.0, 12.0))
    phantom = make_volume(shape=(120, 48, 96), spacing_mm=(6.0, 5.0, 4.0), lesions=spheres)
    scan = scan_of_phantom(phantom)
    truth = np.any([shadow(scan, sphere) for sphere in spheres], axis=0)
    mask = as_mask(truth)
    measured = measure(scan.projected, mask, find_lesions(mask, truth.astype(np.float32)))
    expected = sorted(spheres, key=lambda sphere: -sphere.radius_mm)
    for lesion, sphere in zip(measured.lesions, expected, strict=True):
        assert lesion.area_mm2 == pytest.approx(sphere.projected_area_mm2, rel=0.01)
        assert lesion.suv_max == pytest.approx(sphere.suv, rel=0.01)
        assert lesion.suv_max * 0.8 < lesion.suv_mean <= lesion.suv_max
    assert measured.projected_area_mm2 == pytest.approx(sum(s.projected_area_mm2 for s in spheres), rel=0.01)
    assert measured.max_distance_mm == pytest.approx(np.hypot(130, 240), rel=0.01)
    glycolysis = sum((lesion.area_mm2 or 0) * lesion.suv_mean for lesion in measured.lesions)
    assert measured.projected_tlg_mm2 == pytest.approx(glycolysis, rel=0.001)
    # and the uptake lies where the affine says
    suv = resample(scan.projection.suv, scan.grey.shape)
    one, other = (shadow(scan, Sphere(s.centre_mm, s.radius_mm + 12, s.suv)) for s in spheres)
    hot = (one & (suv > 4.5)) | (other & (suv > 6))
    assert dice_score(hot, truth) > 0.95


def test_each_of_many_lesions_is_measured_by_itself() -> None:
    draws = np.random.default_rng(0)
    tumour = np.zeros((90, 60), dtype=bool)
    tumour[1::3, 1::3] = draws.random((30, 20)) < 0.4  # single pixels, none beside another
    suv = draws.random((45, 90), dtype=np.float32) * 10
    mask = as_mask(tumour)
    lesions = find_lesions(mask, tumour.astype(np.float32))
    measured = measure(Projected(suv, (2.0, 3.0), np.eye(4)), mask, lesions)
    places = np.array([lesion.centroid_xy for lesion in lesions])
    for lesion, (x, y) in zip(measured.lesions, places.astype(int).tolist(), strict=True):
        columns = suv[y // 2, [3 * x // 2, (3 * x + 1) // 2, (3 * x + 2) // 2]]
        assert any(lesion.suv_max == pytest.approx(value, abs=1e-3) for value in columns.tolist())
        assert lesion.area_mm2 == 6
    apart = (places[:, None] - places[None]) * (3.0, 2.0)
    assert measured.max_distance_mm == pytest.approx(np.hypot(*np.moveaxis(apart, -1, 0)).max(), abs=0.1)


def test_what_cannot_be_known_is_absent(small: PhantomVolume, tmp_path: Path) -> None:
    np.save(tmp_path / "array.npy", np.repeat(np.repeat(small.suv, 2, axis=0), 2, axis=2))
    scan = scan_of_path(tmp_path / "array.npy")
    assert scan.grey.shape == (48, 48)  # a voxel is a pixel
    mask = as_mask(scan.projection.suv > 5)
    measured = measure(scan.projected, mask, find_lesions(mask, scan.projection.suv))
    assert (measured.pixel_mm, measured.projected_area_mm2, measured.projected_tlg_mm2) == (None, None, None)
    assert (measured.max_distance_mm, measured.lesions[0].area_mm2) == (None, None)
    assert measured.suv_max == pytest.approx(small.suv.max())
    empty = measure(scan.projected, mask * 0, [])
    assert (empty.suv_max, empty.suv_mean, empty.lesions) == (None, None, [])


def scan_of_phantom(phantom: PhantomVolume) -> VolumeScan:
    from inference.volumes.volume import SlicedVolume
    from inference.volumes.volume_scan import scan_of_volume

    sliced = SlicedVolume(phantom.suv.shape, phantom.affine, 0, iter(phantom.suv))
    return scan_of_volume(sliced, VolumeOptions())
