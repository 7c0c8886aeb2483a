"""A map cut at a threshold, as the page shows it and as it can be downloaded."""

from dataclasses import dataclass

from pydantic import BaseModel

from inference.ensemble import DETECTION_PROBABILITY, Ensemble
from inference.findings import Lesion, decide, find_lesions
from inference.overlay import draw_overlay
from inference.preparation import FloatMap, GreyScan
from service.messages import ModelIdentity
from service.page.kept import Kept
from utils import encode_request


class Findings(BaseModel):
    """What was found in a scan at a threshold: the page's JSON file."""

    threshold: float
    tumor_detected: bool
    tumor_probability: float
    tumor_area_px: int
    tumor_fraction: float
    lesions: list[Lesion]
    disagreement: float | None
    warnings: list[str]
    views: list[str]
    is_blanked: bool
    model: ModelIdentity


@dataclass(frozen=True)
class Cut:
    """Findings, and their pictures as base64 PNG."""

    findings: Findings
    mask: str
    overlay: str


def cut(
    kept: Kept,
    scan: GreyScan,
    probability_map: FloatMap,
    ensemble: Ensemble,
    threshold: float,
    *,
    may_blank: bool = True,
) -> Cut:
    """Cut a scan's map, both (H, W), by the pipeline's own functions; `kept` says what no threshold changes.

    Unless it `may_blank`, a mask is shown even of a scan that is very probably free of tumour.
    """
    mask, probability = decide(
        probability_map,
        threshold=threshold,
        classifier=ensemble.classifier,
        blank_below=ensemble.blank_below if may_blank else 0,
    )
    lesions = find_lesions(mask, probability_map)
    area = sum(lesion.area_px for lesion in lesions)
    findings = Findings(
        threshold=threshold,
        tumor_detected=probability >= DETECTION_PROBABILITY,
        tumor_probability=round(probability, 4),
        tumor_area_px=area,
        tumor_fraction=area / scan.size,
        lesions=lesions,
        disagreement=kept.disagreement,
        warnings=kept.warnings,
        views=kept.views,
        is_blanked=may_blank and probability < ensemble.blank_below,
        model=ModelIdentity.model_validate(ensemble.identity()),
    )
    return Cut(findings, encode_request(mask), encode_request(draw_overlay(scan, mask, lesions)))
