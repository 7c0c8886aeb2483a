"""A map cut at a threshold, as the page shows it and as it can be downloaded."""

from dataclasses import dataclass

from inference.ensemble import Ensemble
from inference.findings import decide
from inference.report.description import ScanFindings, find
from inference.report.overlay import draw_overlay
from service.messages import ModelIdentity
from service.page.result_token import SegmentedScan
from service.page.volume_downloads import Download, volume_downloads
from utils import encode_request


class Findings(ScanFindings):
    """What was found in a scan at a threshold: the page's JSON file."""

    threshold: float
    is_blanked: bool
    model: ModelIdentity


@dataclass(frozen=True)
class ThresholdedScan:
    """Findings, their pictures as base64 PNG, and of a volume's the mask in the files of its kind."""

    findings: Findings
    mask: str
    overlay: str
    downloads: list[Download]


def apply_threshold(
    segmented: SegmentedScan, ensemble: Ensemble, threshold: float, *, may_blank: bool = True
) -> ThresholdedScan:
    """Cut a scan's map by the pipeline's own functions.

    Unless it `may_blank`, a mask is shown even of a scan that is very probably free of tumour.
    """
    mask, probability = decide(
        segmented.evidence.probability_map,
        threshold=threshold,
        classifier=ensemble.classifier,
        blank_below=ensemble.blank_below if may_blank else 0,
    )
    findings = Findings(
        **dict(find(segmented.evidence, mask, probability)),
        threshold=threshold,
        is_blanked=may_blank and probability < ensemble.blank_below,
        model=ModelIdentity.model_validate(ensemble.identity()),
    )
    return ThresholdedScan(
        findings,
        encode_request(mask),
        encode_request(draw_overlay(segmented.scan, mask, findings.lesions)),
        volume_downloads(segmented, mask),
    )
