"""Which way a volume's axes point in the patient."""

import numpy as np
import numpy.typing as npt

from inference.errors import shown
from inference.volumes.errors import VolumeError
from inference.volumes.lazy_import import IMPORT_LOCK
from inference.volumes.volume import Affine

RIGHT, ANTERIOR, SUPERIOR = 0, 1, 2
"""The axes of RAS+ coordinates."""

DEFAULT_ORIENTATION = "SPL"
"""As `SimpleITK.GetArrayFromImage` gives a volume: feet to head, front to back, right to left."""


def body_axes(affine: Affine) -> npt.NDArray[np.int_]:
    """Return for every voxel axis its body axis and direction, (3, 2): RAS+ axis, and 1 or -1.

    An oblique axis counts as the body axis that it is nearest to; each body axis is taken once.
    Raises `VolumeError` where the affine leaves an axis without a direction.
    """
    with IMPORT_LOCK:
        from nibabel.orientations import io_orientation

    ornt = io_orientation(affine) if np.isfinite(affine).all() else np.full((3, 2), np.nan)
    if np.isnan(ornt).any():
        raise VolumeError("no_orientation", "the volume's affine gives an axis no direction and no length")
    return np.asarray(ornt, dtype=np.int_)


def affine_of_letters(letters: str, spacing_mm: tuple[float, float, float], shape: tuple[int, ...]) -> Affine:
    """Return the affine of axes that point where `letters` say, one of R L, A P and S I for each axis.

    The centre of the volume is the origin. Raises `VolumeError` where the letters do not say it.
    """
    with IMPORT_LOCK:
        from nibabel.orientations import axcodes2ornt

    letters = letters.upper()
    if len(letters) != 3 or {frozenset(pair) & set(letters) for pair in ("RL", "AP", "SI")} != {
        frozenset(letter) for letter in letters
    }:
        raise VolumeError(
            "no_orientation",
            f"--orientation {shown(letters)} does not say where three axes point: give one of R or L, of "
            f"A or P and of S or I for each axis, such as {DEFAULT_ORIENTATION}",
        )
    affine = np.zeros((4, 4))
    affine[3, 3] = 1
    for axis, (body_axis, direction) in enumerate(axcodes2ornt(tuple(letters)).astype(int)):
        affine[body_axis, axis] = direction * spacing_mm[axis]
    centre = (np.array(shape[:3]) - 1) / 2
    affine[:3, 3] = -affine[:3, :3] @ centre
    return affine
