"""A volume's mask as NIfTI, where the projection lies in the patient."""

import gzip

import numpy as np

from inference.errors import ScanError
from inference.findings import Mask
from inference.volumes.lazy_import import IMPORT_LOCK
from inference.volumes.volume_scan import Projected


def mask_file(projected: Projected, mask: Mask) -> bytes:
    """Return the mask (H, W, 3) of a volume's scan as the content of a `.nii.gz` file.

    That holds uint8 (W, H, 1), 1 being tumour. Its affine leads from (column, row, 0) to RAS+ mm: a
    single coronal slice, in the middle of the body's depth and as thick as the volume. Raises
    `ScanError` where the spacing is unknown.
    """
    with IMPORT_LOCK:
        from nibabel.nifti1 import Nifti1Image

    if projected.pixel_mm is None:
        raise ScanError("--nifti needs the size of a voxel, which the file does not say: give --spacing")
    tumour = (mask[..., 0] > 0).astype(np.uint8).T[..., None]  # (W, H, 1)
    image = Nifti1Image(tumour, projected.affine)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), mtime=0)
