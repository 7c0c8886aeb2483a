from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest

from inference.errors import ScanError
from inference.volumes.errors import VolumeError
from inference.volumes.options import VolumeOptions, parse_spacing
from inference.volumes.orientation import affine_of_letters, body_axes
from inference.volumes.projection import project
from inference.volumes.reading import scan_of_path
from inference.volumes.volume import SlicedVolume
from inference.volumes.volume_scan import draw_suv
from training.phantoms.volume_files import write_nifti
from training.phantoms.volumes import PhantomVolume

ORIENTATIONS = ["".join(letters) for order in permutations(("RL", "AP", "SI")) for letters in product(*order)]


def sliced(values: np.ndarray, affine: np.ndarray, slice_axis: int) -> SlicedVolume:
    slices = iter(np.moveaxis(values, slice_axis, 0))
    return SlicedVolume(values.shape, affine, slice_axis, slices)


def test_there_are_48_orientations() -> None:
    assert len(set(ORIENTATIONS)) == 48


@pytest.mark.parametrize("slice_axis", [0, 1, 2])
def test_every_orientation_gives_the_same_projection(small: PhantomVolume, slice_axis: int) -> None:
    from nibabel.orientations import (
        apply_orientation,
        axcodes2ornt,
        inv_ornt_aff,
        io_orientation,
        ornt_transform,
    )

    expected = small.suv.max(axis=1)[::-1]  # head up; (z, y, x) has the patient's right first already
    for letters in ORIENTATIONS:
        turn = ornt_transform(io_orientation(small.affine), axcodes2ornt(tuple(letters)))
        values = apply_orientation(small.suv, turn)
        affine = small.affine @ inv_ornt_aff(turn, small.suv.shape)
        projection = project(sliced(values, affine, slice_axis))
        np.testing.assert_array_equal(projection.suv, expected, err_msg=letters)
        assert projection.spacing_mm == pytest.approx((8, 4))
        row, column = np.argwhere(projection.suv == 10)[0]
        place = projection.affine @ (column, row, projection.depth[row, column], 1)
        voxel = np.rint(np.linalg.inv(small.affine) @ place).astype(int)[:3]
        assert small.suv[tuple(voxel)] == 10, letters


def test_an_oblique_volume_is_projected_along_its_nearest_axis(small: PhantomVolume) -> None:
    turn = np.deg2rad(20)
    oblique = np.eye(4)
    oblique[1:3, 1:3] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    straight, tilted = (
        project(sliced(small.suv, affine, 0)) for affine in (small.affine, oblique @ small.affine)
    )
    np.testing.assert_array_equal(straight.suv, tilted.suv)
    assert tilted.spacing_mm == pytest.approx(straight.spacing_mm)


def test_letters_of_an_orientation_give_its_affine() -> None:
    for letters in ORIENTATIONS[::5]:
        affine = affine_of_letters(letters.lower(), (2, 3, 4), (5, 6, 7))
        assert np.linalg.norm(affine[:3, :3], axis=0) == pytest.approx((2, 3, 4))
        assert len(set(body_axes(affine)[:, 0])) == 3
    for wrong in ("RAA", "RA", "XYZ", "RLS", ""):
        with pytest.raises(VolumeError, match="does not say where three axes point"):
            affine_of_letters(wrong, (1, 1, 1), (2, 2, 2))


def test_what_is_not_a_number_is_no_uptake_and_activities_are_no_suvs(small: PhantomVolume) -> None:
    holes = small.suv.copy()
    holes[:, 0] = np.nan
    holes[0] = -1
    assert np.isfinite(project(sliced(holes, small.affine, 0)).suv).all()
    with pytest.raises(VolumeError, match=r"^not suv: the highest value is 5e\+04"):
        project(sliced(small.suv * 5000, small.affine, 0))


def test_grey_is_linear_in_suv() -> None:
    drawn = draw_suv(np.array([[0, 3.5, 7, 30]], np.float32), 7.0)
    np.testing.assert_array_equal(drawn, [[255, 128, 0, 0]])


def test_suv_max_makes_scans_paler(small: PhantomVolume, tmp_path: Path) -> None:
    write_nifti(small, tmp_path / "small.nii", "LPI")
    usual, pale = (scan_of_path(tmp_path / "small.nii", VolumeOptions(suv_max=level)) for level in (7, 14))
    assert usual.grey.shape == (96, 48)
    assert usual.grey.min() == 0
    assert pale.grey.min() == pytest.approx(255 * (1 - 10 / 14), abs=1)
    with pytest.raises(ScanError, match="--suv-max 0 is no SUV"):
        VolumeOptions(suv_max=0)


def test_spacing_is_three_lengths() -> None:
    assert parse_spacing("4, 2.5,2.5") == (4, 2.5, 2.5)
    assert parse_spacing(None) is None
    for wrong in ("4,2", "a,b,c", "1,2,3,4", "0,1,1", "-1,1,1", "nan,1,1"):
        with pytest.raises(ScanError, match=f"--spacing '{wrong}' is"):
            parse_spacing(wrong)
