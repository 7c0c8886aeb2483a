"""What is written of a volume beside mask and overlay: DICOM and NIfTI."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.errors import ScanError
from inference.findings import Mask
from inference.volumes.dicom.writing import fields_left_out, make_dicom, to_bytes
from inference.volumes.formats.nifti_writing import mask_file
from inference.volumes.options import VolumeOptions
from inference.volumes.volume_scan import VolumeScan

DICOM, NIFTI = ("_mip.dcm", "_seg.dcm"), "_mask.nii.gz"
"""What the names of the files end in."""


@dataclass(frozen=True)
class MadeFiles:
    """Files by path, and sentences of what is not in them."""

    files: dict[Path, bytes]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class VolumeFiles:
    """How volumes are read, and which files are written of each."""

    options: VolumeOptions = field(default_factory=VolumeOptions)
    dicom_seg: bool = False
    nifti: bool = False

    def identity(self) -> dict[str, Any]:
        """Return how volumes are read where it is not as usual: results of another way do not go on."""
        if self.options == VolumeOptions():
            return {}
        spacing = self.options.spacing_mm
        return {
            "suv_max": self.options.suv_max,
            "spacing_mm": None if spacing is None else list(spacing),
            "orientation": self.options.orientation,
        }

    def paths(self, stem: Path) -> list[Path]:
        """Return the files that are written of a volume, whose names begin with `stem`'s."""
        kinds = (*(DICOM if self.dicom_seg else ()), *((NIFTI,) if self.nifti else ()))
        return [_named(stem, kind) for kind in kinds]

    def made_of(
        self, volume: VolumeScan | None, mask: Mask, stem: Path, fingerprint: str | None
    ) -> MadeFiles:
        """Return each file and what is in it; raises `ScanError` where the scan is not such a volume's.

        The same fingerprint gives DICOM files of the same UIDs. A series of whose headers none can be
        made costs these files alone, and a warning.
        """
        if (self.dicom_seg or self.nifti) and volume is None:
            raise ScanError("--dicom-seg and --nifti are for volumes, and a picture is none")
        if volume is None:
            return MadeFiles({}, ())
        files: dict[Path, bytes] = {}
        warnings: tuple[str, ...] = ()
        if self.dicom_seg:
            images, warnings = _dicom(volume, mask, fingerprint)
            files |= {_named(stem, kind): image for kind, image in zip(DICOM, images, strict=False)}
        if self.nifti:
            files[_named(stem, NIFTI)] = mask_file(volume.projected, mask)
        return MadeFiles(files, warnings)


def _dicom(volume: VolumeScan, mask: Mask, seed: str | None) -> tuple[list[bytes], tuple[str, ...]]:
    """Return MIP and mask as DICOM files, none where headers allow none, and what to tell of them."""
    try:
        images = [to_bytes(image) for image in make_dicom(volume, mask, seed)]
    except Exception as error:  # odd headers raise whatever their values lead to, and messages quote them
        if not volume.headers:
            raise
        reason = str(error) if isinstance(error, ScanError) else type(error).__name__
        return [], (f"no DICOM files can be made of the series' headers ({reason})",)
    return images, fields_left_out(volume)


def _named(stem: Path, kind: str) -> Path:
    return stem.with_name(stem.name + kind)
