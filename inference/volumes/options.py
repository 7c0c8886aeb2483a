"""What only the sender of a volume can know, and how dark it is to be drawn."""

import math
import re
from dataclasses import dataclass

from inference.errors import ScanError, shown
from inference.volumes.grey_scale import SUV_MAX


@dataclass(frozen=True)
class VolumeOptions:
    """How a volume is to be read.

    `spacing_mm` of the axes of an array, and `orientation`, a letter of where each axis points,
    are for files that say neither of themselves. `suv_max` is the SUV that is drawn black.
    """

    spacing_mm: tuple[float, float, float] | None = None
    orientation: str | None = None
    suv_max: float = SUV_MAX

    def __post_init__(self) -> None:
        if not (math.isfinite(self.suv_max) and 0 < self.suv_max <= 1000):
            raise ScanError(f"--suv-max {self.suv_max:g} is no SUV that could be black: give 5 to 10")


def parse_spacing(text: str | None) -> tuple[float, float, float] | None:
    """Return the mm along three axes out of `4,2.5,2.5`; raises `ScanError` where it is something else."""
    if text is None:
        return None
    try:
        first, second, third = (float(part) for part in re.split(r"[,x ]+", text.strip()))
    except ValueError:
        raise ScanError(f"--spacing {shown(text)} is not three lengths in mm, such as 4,2.5,2.5") from None
    if not all(0.1 <= side <= 100 for side in (first, second, third)):
        raise ScanError(f"--spacing {shown(text)} is no voxel's size: each must be from 0.1 to 100 mm")
    return first, second, third
