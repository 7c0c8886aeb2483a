"""What was found in a projected volume, in units: mm, mm² and SUV.

Sources: Girum et al., J Nucl Med 2022;63:1925 (tumour on MIPs as surrogates of total metabolic
tumour volume and dissemination); Cottereau et al., J Nucl Med 2020;61:40 (Dmax: the largest distance
between two lesions' centroids).
"""

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from inference.findings import Lesion, Mask, label_lesions
from inference.volumes.scan import VolumeScan, on_projection

MEASURED = ("projected_area_mm2", "projected_tlg_mm2", "suv_max", "suv_mean", "max_distance_mm")
"""The names of what is measured of a scan as a whole."""


class LesionMeasure(BaseModel):
    """One lesion in units; `id` is that of the lesion in pixels. What is unknown is null."""

    id: int
    area_mm2: float | None = Field(description="Area of the lesion's projection")
    suv_max: float = Field(description="Highest SUV by body weight")
    suv_mean: float = Field(description="Mean of the projection's SUVs: of the highest along each line")


class Measures(BaseModel):
    """A scan's tumour in units. What is unknown, or is not there without a lesion, is null."""

    pixel_mm: tuple[float, float] | None = Field(description="Height and width of a scan's pixel")
    projected_area_mm2: float | None = Field(
        description="Projected metabolic tumour area, a surrogate of metabolic tumour volume"
    )
    projected_tlg_mm2: float | None = Field(
        description="Projected total lesion glycolysis: the lesions' areas, each times its mean SUV"
    )
    suv_max: float | None
    suv_mean: float | None = Field(description="Mean over all tumour of the projection")
    max_distance_mm: float | None = Field(
        description="Largest distance between two lesions' centroids in the projection, at most the Dmax of "
        "the volume; null with fewer than two lesions"
    )
    lesions: list[LesionMeasure]


def measure(scan: VolumeScan, mask: Mask, lesions: Sequence[Lesion]) -> Measures:
    """Measure the mask (H, W, 3) of a volume's scan, and the lesions that were found in it.

    SUVs are the projection's own, as they were before it was resampled to the scan's pixels.
    """
    labels = label_lesions(mask)  # (H, W)
    native = on_projection(labels, scan.projection)  # (h, w)
    pixel_mm2 = None if scan.pixel_mm is None else scan.pixel_mm[0] * scan.pixel_mm[1]
    measured, values = [], []
    for lesion in lesions:
        suv = _values(scan, labels == lesion.id, native == lesion.id)
        values.append(suv)
        measured.append(
            LesionMeasure(
                id=lesion.id,
                area_mm2=None if pixel_mm2 is None else round(lesion.area_px * pixel_mm2, 1),
                suv_max=round(float(suv.max()), 3),
                suv_mean=round(float(suv.mean()), 3),
            )
        )
    areas = [lesion.area_px * pixel_mm2 for lesion in lesions] if pixel_mm2 is not None else None
    everything = np.concatenate(values) if values else None
    return Measures(
        pixel_mm=scan.pixel_mm,
        projected_area_mm2=None if areas is None else round(sum(areas), 1),
        projected_tlg_mm2=None
        if areas is None
        else round(sum(area * float(suv.mean()) for area, suv in zip(areas, values, strict=True)), 1),
        suv_max=None if everything is None else round(float(everything.max()), 3),
        suv_mean=None if everything is None else round(float(everything.mean()), 3),
        max_distance_mm=_largest_distance(lesions, scan.pixel_mm),
        lesions=measured,
    )


def _values(
    scan: VolumeScan, inside: npt.NDArray[np.bool_], native: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Return the projection's SUVs in a lesion, or the nearest where it holds no pixel's centre."""
    suv = scan.projection.suv
    if native.any():
        return suv[native]
    rows, columns = np.nonzero(inside)
    rows = ((rows + 0.5) * suv.shape[0] / inside.shape[0]).astype(int)
    columns = ((columns + 0.5) * suv.shape[1] / inside.shape[1]).astype(int)
    return np.asarray(suv[rows, columns])


def _largest_distance(lesions: Sequence[Lesion], pixel_mm: tuple[float, float] | None) -> float | None:
    if pixel_mm is None or len(lesions) < 2:
        return None
    places = [np.array(lesion.centroid_xy) * (pixel_mm[1], pixel_mm[0]) for lesion in lesions]
    return round(max(float(np.linalg.norm(one - other)) for one, other in combinations(places, 2)), 1)
