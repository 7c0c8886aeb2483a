"""What is written of a volume beside mask and overlay: DICOM and NIfTI."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference.errors import ScanError
from inference.findings import Mask
from inference.volumes.dicom.writing import make_dicom, to_bytes
from inference.volumes.formats.nifti_writing import mask_file
from inference.volumes.options import VolumeOptions
from inference.volumes.volume_scan import VolumeScan


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
        dicom = [_named(stem, "_mip.dcm"), _named(stem, "_seg.dcm")] if self.dicom_seg else []
        return dicom + ([_named(stem, "_mask.nii.gz")] if self.nifti else [])

    def made_of(
        self, volume: VolumeScan | None, mask: Mask, stem: Path, fingerprint: str | None
    ) -> Iterator[tuple[Path, bytes]]:
        """Yield each file and what is in it; raises `ScanError` where the scan is not such a volume's.

        The same fingerprint gives DICOM files of the same UIDs.
        """
        if (self.dicom_seg or self.nifti) and volume is None:
            raise ScanError("--dicom-seg and --nifti are for volumes, and a picture is none")
        if volume is None:
            return
        paths = iter(self.paths(stem))
        if self.dicom_seg:
            for image in make_dicom(volume, mask, fingerprint):
                yield next(paths), to_bytes(image)
        if self.nifti:
            yield next(paths), mask_file(volume.projected, mask)


def _named(stem: Path, kind: str) -> Path:
    return stem.with_name(stem.name + kind)
