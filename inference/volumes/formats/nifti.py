"""NIfTI files, `.nii` and `.nii.gz`, whose values are SUVs."""

import gzip
import logging
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

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
MAX_HEADER_BYTES = 64 << 20
"""Extensions of some programs hold whole tables, or the headers of the series that a file was made of."""

PAIR_MAGICS = (b"ni1", b"ni2\0\r\n\x1a\n")
SINGLE_MAGICS = (b"n+1", b"n+2\0\r\n\x1a\n")
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
        unchecked = kind(block[: kind.template_dtype.itemsize], check=False)
        _check_layout(unchecked)
        header = kind(unchecked.binaryblock, endianness=unchecked.endianness)
        shape = header.get_data_shape()
        dtype = header.get_data_dtype()
        slope, intercept = header.get_slope_inter()
        offset = int(header.get_data_offset()) or int(header.single_vox_offset)  # 0 is the usual one
    except VolumeError:
        raise
    except Exception as error:  # NiBabel has many kinds of them for a file that is no NIfTI
        reason = "it is damaged" if isinstance(error, EOFError | OSError) else type(error).__name__
        raise VolumeError("unreadable", f"the file is no NIfTI file that can be read ({reason})") from None
    x, y, z = check_shape(shape)
    if dtype.kind not in "iuf":
        raise VolumeError(
            "unreadable", f"the file's values are {shown(str(dtype))}, and not numbers (datatype)"
        )
    _skip_to(stream, offset)
    slices = read_slices(
        stream,
        count=z,
        shape=(x, y),
        dtype=dtype,
        fortran_order=True,
        slope=1.0 if slope is None else float(slope),
        intercept=0.0 if intercept is None else float(intercept),
    )
    return SlicedVolume((x, y, z), _affine(header, options, (x, y, z)), 2, slices)


def _check_layout(header: "Nifti1Header") -> None:
    """Raise `VolumeError` where a header is one of two files, or its values begin where none can."""
    magic = header["magic"].item()
    if magic in PAIR_MAGICS:
        raise VolumeError("unreadable", "the file is the header of a pair (.hdr, .img): save one .nii file")
    offset, least = float(header["vox_offset"]), int(header.single_vox_offset)
    if magic in SINGLE_MAGICS and offset != 0 and not least <= offset <= MAX_HEADER_BYTES:
        raise VolumeError(
            "unreadable",
            f"vox_offset is {offset:.10g}, and must be from {least} to {MAX_HEADER_BYTES:,} bytes",
        )


def _skip_to(stream: BinaryIO, offset: int) -> None:
    """Go to where the values begin; raises `VolumeError` where the file is damaged before that."""
    try:
        stream.seek(offset)
    except (OSError, EOFError, ValueError, zlib.error):
        raise VolumeError("unreadable", "the file is damaged or ends before its values") from None


def _affine(header: "Nifti1Header", options: VolumeOptions, shape: tuple[int, int, int]) -> Affine:
    """Return the header's affine in mm; where it has none, that of the orientation that was named."""
    try:
        unit = MM_OF.get(header.get_xyzt_units()[0], 1.0)
    except KeyError:
        raise VolumeError(
            "unreadable",
            f"xyzt_units is {int(header['xyzt_units'])}, and names no unit of length and time (2 is mm)",
        ) from None
    if header["sform_code"] == 0 and header["qform_code"] == 0:
        if options.orientation is None:
            raise VolumeError(
                "no_orientation",
                "the NIfTI header does not say how the patient lies (sform and qform are unset): name it "
                "with --orientation, such as LAS",
            )
        x, y, z = (float(side) * unit for side in header.get_zooms()[:3])
        return affine_of_letters(options.orientation, (x, y, z), shape)
    try:
        affine: Affine = header.get_best_affine().astype(float)
    except ValueError:
        length = float(np.linalg.norm([float(header[f"quatern_{part}"]) for part in "bcd"]))
        raise VolumeError(
            "no_orientation",
            f"quatern_b, _c and _d have a length of {length:.6g}, and at most 1 is a rotation",
        ) from None
    affine[:3] *= unit
    return affine
