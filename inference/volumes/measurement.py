"""What was found in a projected volume, in units: mm, mm² and SUV.

Sources: Girum et al., J Nucl Med 2022;63:1925 (tumour on MIPs as surrogates of total metabolic
tumour volume and dissemination); Cottereau et al., J Nucl Med 2020;61:40 (Dmax: the largest distance
between two lesions' centroids).
"""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, Field

from inference.findings import Lesion, Mask, label_lesions
from inference.preparation import FloatMap
from inference.volumes.volume_scan import Projected, on_projection

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


def measure(projected: Projected, mask: Mask, lesions: Sequence[Lesion]) -> Measures:
    """Measure the mask (H, W, 3) of a volume's scan, and the lesions that were found in it.

    SUVs are the projection's own, as they were before it was resampled to the scan's pixels.
    """
    pixel_mm = projected.pixel_mm
    values = _values_by_lesion(projected.suv, label_lesions(mask), len(lesions))
    areas = None if pixel_mm is None else [lesion.area_px * pixel_mm[0] * pixel_mm[1] for lesion in lesions]
    means = [float(suv.mean()) for suv in values]
    everything = np.concatenate(values) if values else None
    return Measures(
        pixel_mm=pixel_mm,
        projected_area_mm2=None if areas is None else round(sum(areas), 1),
        projected_tlg_mm2=None
        if areas is None
        else round(sum(area * mean for area, mean in zip(areas, means, strict=True)), 1),
        suv_max=None if everything is None else round(float(everything.max()), 3),
        suv_mean=None if everything is None else round(float(everything.mean()), 3),
        max_distance_mm=_largest_distance(lesions, pixel_mm),
        lesions=[
            LesionMeasure(
                id=lesion.id,
                area_mm2=None if areas is None else round(areas[index], 1),
                suv_max=round(float(values[index].max()), 3),
                suv_mean=round(means[index], 3),
            )
            for index, lesion in enumerate(lesions)
        ],
    )


def measured_pixels(mask: npt.NDArray[np.bool_], size: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Return which pixels (h, w) of a projection are looked at to measure a mask (H, W), or a part of it."""
    looked_at = on_projection(mask, size) > 0
    rows, columns = np.nonzero(mask)
    looked_at[_nearest(rows, columns, mask.shape, size)] = True
    return looked_at


def _values_by_lesion(
    suv: FloatMap, labels: npt.NDArray[np.int32], count: int
) -> list[npt.NDArray[np.float32]]:
    """Return the projection's SUVs in each lesion, or the nearest where it holds no pixel's centre."""
    size = (suv.shape[0], suv.shape[1])
    native = on_projection(labels, size)  # (h, w)
    inside = _split(suv[native > 0], native[native > 0], count)
    if all(values.size for values in inside):
        return inside
    rows, columns = np.nonzero(labels)
    nearest = suv[_nearest(rows, columns, labels.shape, size)]
    around = _split(nearest, labels[rows, columns], count)
    return [own if own.size else near for own, near in zip(inside, around, strict=True)]


def _split(
    values: npt.NDArray[np.float32], lesions: npt.NDArray[np.int32], count: int
) -> list[npt.NDArray[np.float32]]:
    """Return the values of each lesion from 1 to `count`, in the order in which they are."""
    ends = np.cumsum(np.bincount(lesions, minlength=count + 1)[1:])
    return np.split(values[np.argsort(lesions, kind="stable")], ends)[:count]


def _nearest(
    rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], shape: tuple[int, ...], size: tuple[int, int]
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Return rows and columns of a projection (h, w) in which pixels of a scan (H, W) have their centres."""
    return (
        ((rows + 0.5) * size[0] / shape[0]).astype(np.intp),
        ((columns + 0.5) * size[1] / shape[1]).astype(np.intp),
    )


def _largest_distance(lesions: Sequence[Lesion], pixel_mm: tuple[float, float] | None) -> float | None:
    """Return the largest distance between two centroids in mm, which are corners of their convex hull."""
    if pixel_mm is None or len(lesions) < 2:
        return None
    places = np.array([lesion.centroid_xy for lesion in lesions]) * (pixel_mm[1], pixel_mm[0])
    corners = places[cv2.convexHull(places.astype(np.float32), returnPoints=False).ravel()]
    return round(max(float(np.linalg.norm(corners - corner, axis=1).max()) for corner in corners), 1)
