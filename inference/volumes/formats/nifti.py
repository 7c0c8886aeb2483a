"""NIfTI files, `.nii` and `.nii.gz`, whose values are SUVs."""

import gzip
import logging
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from inference.errors import shown
from inference.volumes.errors import VolumeError
from inference.volumes.formats.raw_slices import read_slices
from inference.volumes.lazy_import import IMPORT_LOCK
from inference.volumes.options import VolumeOptions
from inference.volumes.orientation import affine_of_letters
from inference.volumes.volume import Affine, SlicedVolume, check_shape

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

GZIP_MAGIC = b"\x1f\x8b"
MAX_HEADER_BYTES = 1 << 20
MM_OF = {"unknown": 1.0, "mm": 1.0, "meter": 1000.0, "micron": 0.001}


def read_nifti(file: BinaryIO, options: VolumeOptions) -> SlicedVolume:
    """Read a NIfTI-1 or NIfTI-2 file, compressed or not: slices as they are asked for.

    Raises `VolumeError` where it is none, or its header says not how the body lies in it.
    """
    with IMPORT_LOCK:
        from nibabel.nifti1 import Nifti1Header
        from nibabel.nifti2 import Nifti2Header

    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL + 1)  # its warnings quote the file's bytes

    compressed = file.read(2) == GZIP_MAGIC
    file.seek(0)
    stream = cast(BinaryIO, gzip.GzipFile(fileobj=file, mode="rb")) if compressed else file
    try:
        block = stream.read(Nifti2Header.template_dtype.itemsize)
        kind: Any = Nifti2Header if Nifti2Header.may_contain_header(block) else Nifti1Header
        header = kind(block[: kind.template_dtype.itemsize])
        shape = header.get_data_shape()
        dtype = header.get_data_dtype()
        slope, intercept = header.get_slope_inter()
        offset = int(header.get_data_offset())
        stream.seek(min(offset, MAX_HEADER_BYTES))
        affine = _affine(header, options, check_shape(shape))
    except VolumeError:
        raise
    except Exception as error:  # NiBabel has many kinds of them for a file that is no NIfTI
        reason = "it is damaged" if isinstance(error, EOFError | OSError) else type(error).__name__
        raise VolumeError("unreadable", f"the file is no NIfTI file that can be read ({reason})") from None
    x, y, z = check_shape(shape)
    if dtype.kind not in "iuf" or offset < len(block[:348]) or offset > MAX_HEADER_BYTES:
        raise VolumeError(
            "unreadable", f"the file's values are {shown(str(dtype))}, or its header has no sensible size"
        )
    slices = read_slices(
        stream,
        count=z,
        shape=(x, y),
        dtype=dtype,
        fortran_order=True,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
    )
    return SlicedVolume((x, y, z), affine, 2, slices)


def _affine(header: "Nifti1Header", options: VolumeOptions, shape: tuple[int, int, int]) -> Affine:
    """Return the header's affine in mm; where it has none, that of the orientation that was named."""
    unit = MM_OF.get(header.get_xyzt_units()[0], 1.0)
    if header["sform_code"] == 0 and header["qform_code"] == 0:
        if options.orientation is None:
            raise VolumeError(
                "no_orientation",
                "the NIfTI header does not say how the patient lies (sform and qform are unset): name it "
                "with --orientation, such as LAS",
            )
        x, y, z = (float(side) * unit for side in header.get_zooms()[:3])
        return affine_of_letters(options.orientation, (x, y, z), shape)
    affine: Affine = header.get_best_affine().astype(float)
    affine[:3] *= unit
    return affine
