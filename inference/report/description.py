"""What was found on a scan, as service, page and command line all say it."""

from dataclasses import dataclass
from typing import Annotated

from pydantic import BaseModel, Field

from inference.ensemble import DETECTION_PROBABILITY, Prediction
from inference.findings import Lesion, Mask, find_lesions
from inference.preparation import FloatMap
from inference.volumes.measurement import Measures, measure
from inference.volumes.volume_scan import Projected, VolumeScan


class ScanFindings(BaseModel):
    """A scan's tumour, lesion by lesion; places and areas are in pixels of the scan."""

    tumor_detected: Annotated[bool, Field(description="Whether tumor_probability is at least one half")]
    tumor_probability: Annotated[
        float, Field(ge=0, le=1, description="Probability of tumour anywhere in the scan")
    ]
    tumor_area_px: int
    tumor_fraction: Annotated[
        float, Field(ge=0, le=1, description="Share of the scan's pixels that are tumour")
    ]
    lesions: Annotated[list[Lesion], Field(description="The mask's connected regions, the largest first")]
    measures: Annotated[
        Measures | None,
        Field(description="Of a volume: what was found in mm, mm² and SUV. Null for a picture"),
    ] = None
    disagreement: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="One less the mean Dice between the masks that the folds would give alone, over all "
            "pairs of folds: 0 is full agreement, 1 is none. Null where a single fold answers",
        ),
    ]
    warnings: Annotated[
        list[str],
        Field(
            description="What is unusual about the scan, in sentences: a black background (its greys were "
            "inverted), a look that is not a MIP-PET's, or a volume's header that is not taken at its word. "
            "Empty for an ordinary scan"
        ),
    ]
    views: Annotated[
        list[str], Field(description="The views that the mask is the mean of: fewer where time was short")
    ]


@dataclass(frozen=True)
class Evidence:
    """What a scan's findings at any threshold are made of.

    `probability_map` is (H, W) float32 in 0..1; `projected` is there where the scan was made of a volume.
    """

    probability_map: FloatMap
    views: tuple[str, ...]
    disagreement: float | None
    warnings: tuple[str, ...]
    projected: Projected | None = None


def gather(prediction: Prediction, volume: VolumeScan | None = None) -> Evidence:
    """Return what a prediction, and the volume that its scan was made of, say whatever the threshold."""
    disagreement = prediction.disagreement()
    return Evidence(
        probability_map=prediction.probability_map,
        views=prediction.views,
        disagreement=None if disagreement is None else round(disagreement, 4),
        warnings=(*(() if volume is None else volume.warnings), *prediction.warnings),
        projected=None if volume is None else volume.projected,
    )


def find(evidence: Evidence, mask: Mask, tumor_probability: float) -> ScanFindings:
    """Return what is found with a mask (H, W, 3) of the evidence's map, of a volume in units too."""
    lesions = find_lesions(mask, evidence.probability_map)
    area = sum(lesion.area_px for lesion in lesions)
    projected = evidence.projected
    return ScanFindings(
        tumor_detected=tumor_probability >= DETECTION_PROBABILITY,
        tumor_probability=round(tumor_probability, 4),
        tumor_area_px=area,
        tumor_fraction=area / evidence.probability_map.size,
        lesions=lesions,
        measures=None if projected is None else measure(projected, mask, lesions),
        disagreement=evidence.disagreement,
        warnings=list(evidence.warnings),
        views=list(evidence.views),
    )


def describe(prediction: Prediction, volume: VolumeScan | None = None) -> ScanFindings:
    """Return what was found on a scan with the mask that was predicted."""
    return find(gather(prediction, volume), prediction.mask, prediction.tumor_probability)
