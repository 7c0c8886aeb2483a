"""The ensemble: every fold sees a scan in every view, and the average decides."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.artifacts import download_artifacts
from inference.engines import Engine, TorchEngine, choose_device
from inference.errors import WeightsError
from inference.findings import Classifier, Lesion, Mask, cut_mask, find_lesions
from inference.preparation import FloatMap, Preparation, to_grey
from inference.settings import Settings
from inference.tta import FLIPS, flip
from inference.weights import FoldMetadata, FoldWeights, load_fold
from utils import Scan, validate_segmentation

ENSEMBLE_FILE = "ensemble.json"
WARM_UP_SIZE = (489, 400)
DETECTION_PROBABILITY = 0.5


class FoldEntry(BaseModel):
    """One fold in `ensemble.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fold: int
    file: str
    sha256: str
    out_of_fold_dice: float | None = None
    out_of_fold_patients: int | None = None


class EnsembleFile(BaseModel):
    """`ensemble.json`: the folds that are shipped, and what was chosen on their out-of-fold maps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: Annotated[tuple[FoldEntry, ...], Field(min_length=1)]
    tta_ops: tuple[str, ...] = tuple(FLIPS)
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    classifier: Classifier | None = None


@dataclass(frozen=True)
class Fold:
    """A fold ready to run."""

    name: str
    sha256: str
    metadata: FoldMetadata
    engine: Engine

    @property
    def preparation(self) -> Preparation:
        """Return how this fold wants its scans."""
        return self.metadata.preparation


@dataclass(frozen=True)
class Prediction:
    """What the ensemble says of one scan."""

    mask: Mask  # (H, W, 3) uint8, 0 or 255
    probability_map: FloatMap  # (H, W) float32, 0..1
    tumor_probability: float
    timings_ms: dict[str, float]

    @property
    def tumor_detected(self) -> bool:
        """Say whether the scan as a whole is more likely to show tumour than not."""
        return self.tumor_probability >= DETECTION_PROBABILITY

    @property
    def tumor_area_px(self) -> int:
        """Return the number of tumour pixels."""
        return int(np.count_nonzero(self.mask[..., 0]))

    def lesions(self) -> list[Lesion]:
        """Return the mask's connected regions, the largest first."""
        return find_lesions(self.mask, self.probability_map)


class Ensemble:
    """A few folds of one UNet, averaged over flips and folds."""

    def __init__(
        self,
        folds: Sequence[Fold],
        *,
        tta_ops: Sequence[str],
        threshold: float,
        classifier: Classifier | None = None,
    ) -> None:
        self.folds = tuple(folds)
        self.tta_ops = tuple(tta_ops)
        self.threshold = threshold
        self.classifier = classifier

    def predict(self, scan: Scan) -> Prediction:
        """Segment a scan, grey (H, W) or RGB (H, W, 3) uint8, white being no uptake."""
        started = time.perf_counter()
        probability_map = self.probability_map(scan)
        inferred = time.perf_counter()
        mask = cut_mask(probability_map, self.threshold)
        validate_segmentation(scan, mask)
        probability = self._tumor_probability(probability_map)
        timings = {"infer": inferred - started, "find": time.perf_counter() - inferred}
        return Prediction(mask, probability_map, probability, {k: 1000 * v for k, v in timings.items()})

    def probability_map(self, scan: Scan) -> FloatMap:
        """Return the tumour probability of every pixel, (H, W) float32: the mean over folds and views."""
        grey = to_grey(scan)  # (H, W)
        prepared = {fold.preparation: fold.preparation.prepare(grey) for fold in self.folds}
        total = np.zeros(grey.shape, dtype=np.float32)
        for fold in self.folds:
            average = self._average_views(fold, prepared[fold.preparation])  # (h, w)
            total += fold.preparation.restore(average, (grey.shape[0], grey.shape[1]))  # (H, W)
        return total / np.float32(len(self.folds))

    def warm_up(self) -> None:
        """Segment a blank scan, so that the first real one finds everything in place."""
        self.predict(np.full(WARM_UP_SIZE, 255, dtype=np.uint8))

    def identity(self) -> dict[str, Any]:
        """Return which folds answer, and how, as plain JSON values."""
        return {
            "folds": [{"name": fold.name, "sha256": fold.sha256} for fold in self.folds],
            "engine": self.folds[0].engine.name,
            "tta_ops": list(self.tta_ops),
            "threshold": self.threshold,
        }

    def _average_views(self, fold: Fold, prepared: FloatMap) -> FloatMap:
        views = [flip(fold.engine.probabilities(flip(prepared, op)), op) for op in self.tta_ops]
        return np.asarray(np.mean(views, axis=0, dtype=np.float32))  # (h, w)

    def _tumor_probability(self, probability_map: FloatMap) -> float:
        if self.classifier is None:
            return float(probability_map.max())
        return self.classifier.probability(probability_map)


def load_ensemble(settings: Settings) -> Ensemble:
    """Load the folds that the settings name: W&B artifacts, or those that `ensemble.json` lists.

    Artifacts bring their threshold and views along in their metadata, but no classifier: the tumour
    probability of a scan is then the highest of its map.

    Raises `WeightsError` or `SettingsError` with one sentence that says what to do.
    """
    if settings.model_artifacts:
        weights = [load_fold(path) for path in download_artifacts(settings)]
        threshold = float(np.mean([fold.metadata.threshold for fold in weights]))
        return build_ensemble(weights, settings, tta_ops=_common_views(weights), threshold=threshold)
    listed = read_ensemble_file(settings.models_dir)
    weights = [load_fold(settings.models_dir / f.file, expected_sha256=f.sha256) for f in listed.folds]
    return build_ensemble(
        weights, settings, tta_ops=listed.tta_ops, threshold=listed.threshold, classifier=listed.classifier
    )


def build_ensemble(
    weights: Sequence[FoldWeights],
    settings: Settings,
    *,
    tta_ops: tuple[str, ...],
    threshold: float,
    classifier: Classifier | None = None,
) -> Ensemble:
    """Put loaded folds on their device; `TTA`, `TTA_OPS` and `PRED_THRESHOLD` override theirs."""
    device = choose_device(settings.device)
    folds = [Fold(w.name, w.sha256, w.metadata, TorchEngine(w.network, device)) for w in weights]
    ops = (settings.tta_ops or tta_ops) if settings.tta else ("identity",)
    return Ensemble(folds, tta_ops=ops, threshold=settings.pred_threshold or threshold, classifier=classifier)


def _common_views(weights: Sequence[FoldWeights]) -> tuple[str, ...]:
    """Return the views that every fold names, in the order of the flips; at least the identity."""
    return tuple(op for op in FLIPS if op == "identity" or all(op in w.metadata.tta_ops for w in weights))


def read_ensemble_file(models_dir: Path) -> EnsembleFile:
    """Read `ensemble.json`; raises `WeightsError` where it is missing or malformed."""
    path = models_dir / ENSEMBLE_FILE
    try:
        return EnsembleFile.model_validate_json(path.read_text())
    except OSError:
        raise WeightsError(
            f"{path} is missing: set MODELS_DIR to a folder that `uv run python -m training export` made, "
            "or name W&B artifacts in MODEL_ARTIFACTS"
        ) from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the file"
        raise WeightsError(f"{path} cannot be read: {where}: {fault['msg']}") from None
