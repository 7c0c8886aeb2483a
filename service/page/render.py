"""The page's HTML: what the templates are given."""

import base64
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inference.ensemble import Ensemble, Prediction
from inference.preparation import to_grey
from inference.report.description import gather
from inference.settings import Settings
from inference.version import __version__
from inference.volumes.grey_scale import SUV_MAX
from inference.volumes.reading import SUFFIXES
from inference.volumes.volume_scan import VolumeScan
from service.middleware import max_body_bytes, max_volume_bytes
from service.page.layers import (
    disagreement_scale,
    draw_disagreement,
    draw_probabilities,
    probability_scale,
)
from service.page.result_token import ResultToken, SegmentedScan, make_token
from service.page.rethreshold import FORM_BYTES
from service.page.samples import present
from service.page.signature import Signer
from service.page.slider import STEP, slider_range
from service.page.threshold import ThresholdedScan, apply_threshold
from service.page.volume_downloads import capture_of, dicom_download
from utils import encode_request

TEMPLATES = Path(__file__).parent / "templates"
PNG = "data:image/png;base64,"
NEARLY_NONE = 0.01


class Pages:
    """Draws the page, a scan's result, and the part of a result that follows the threshold."""

    def __init__(self, settings: Settings, signer: Signer) -> None:
        self.settings = settings
        self.signer = signer
        self._templates = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(
            png=PNG,
            heat_scale=encode_request(probability_scale()),
            spread_scale=encode_request(disagreement_scale()),
        )
        self._templates.filters.update(percent=percent, quantity=quantity)

    def page(self) -> str:
        """Return the page without a scan."""
        return self._draw(
            "page.html",
            version=__version__,
            max_body_mb=f"{self.settings.max_body_mb:g}",
            max_volume_mb=f"{max_volume_bytes(self.settings) / 1e6:g}",
            suv_max=f"{SUV_MAX:g}",
            volume_files=",".join(SUFFIXES),
            samples=present(),
        )

    def result(self, prediction: Prediction, volume: VolumeScan | None, ensemble: Ensemble) -> str:
        """Return what is shown of a scan that has just been segmented, and was made of a volume or not."""
        capture = capture_of(volume)
        evidence = gather(prediction, volume)
        segmented = SegmentedScan(
            to_grey(prediction.scan), evidence, None if capture is None else capture.head
        )
        token = make_token(segmented, ensemble.threshold)
        probability_map = prediction.probability_map
        height, width = probability_map.shape
        lowest, highest = slider_range(ensemble.threshold)
        alone = len(ensemble.folds) == 1
        return self._draw(
            "result.html",
            **_following(apply_threshold(segmented, ensemble, ensemble.threshold)),
            scan=token.scan,
            volume=volume,
            capture=None if capture is None else dicom_download("Projection", "mip.dcm", capture.whole),
            **self._signed(token),
            height=height,
            width=width,
            heat=encode_request(draw_probabilities(probability_map)),
            spread=None if alone else encode_request(draw_disagreement(prediction.uncertainty_map())),
            is_calibrated=ensemble.classifier is not None,
            model_threshold=ensemble.threshold,
            lowest=lowest,
            highest=highest,
            step=STEP,
        )

    def findings(self, cut_again: ThresholdedScan) -> str:
        """Return the part of a result that follows the threshold."""
        return self._draw("findings.html", **_following(cut_again))

    def _signed(self, token: ResultToken) -> dict[str, str]:
        """Return what the slider sends; of a scan so large that it would be refused, nothing."""
        text = token.model_dump_json()
        size = len(text.encode()) + FORM_BYTES
        return (
            {"token": text, "signature": self.signer.sign(text)}
            if size <= max_body_bytes(self.settings)
            else {}
        )

    def _draw(self, template: str, **values: Any) -> str:
        return self._templates.get_template(template).render(values)


def percent(probability: float) -> str:
    """Return a probability 0..1 as people read it: never as certain, which it never is."""
    if probability < NEARLY_NONE:
        return "< 1 %"
    if probability > 1 - NEARLY_NONE:
        return "> 99 %"
    return f"{100 * probability:.0f} %"


def quantity(value: float | None, digits: int = 0) -> str:
    """Return a number as people read it, and a dash for what is not known."""
    return "—" if value is None else f"{value:,.{digits}f}"


def _following(drawn: ThresholdedScan) -> dict[str, Any]:
    # of a picture, there is nothing to say in units
    left_out = {"measures"} if drawn.findings.measures is None else None
    file = drawn.findings.model_dump_json(indent=2, exclude=left_out).encode()
    return {
        "cut": drawn,
        "findings": drawn.findings,
        "findings_file": base64.b64encode(file).decode("ascii"),
    }
