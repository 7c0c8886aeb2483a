"""The ensemble: every fold sees a scan in every view, and the average decides."""

import os
import time
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.atomic_write import write_png
from inference.deadline import Deadline
from inference.disagreement import FoldMaps, mask_disagreement, spread_map
from inference.engines.engine import Engine, open_engine
from inference.findings import Classifier, Lesion, Mask, decide, find_lesions
from inference.preparation import FloatMap, to_grey
from inference.recognition import Recognition, recognise
from inference.settings import Settings, read_settings
from inference.tta import sum_of_views, views_of
from inference.weights.ensemble_file import read_folds
from inference.weights.fold_file import FoldFile
from utils import Scan, validate_segmentation

WARM_UP_SIZE = (489, 400)
DETECTION_PROBABILITY = 0.5


@dataclass(frozen=True)
class Prediction:
    """What the ensemble says of one scan."""

    mask: Mask  # (H, W, 3) uint8, 0 or 255
    probability_map: FloatMap  # (H, W) float32, 0..1
    tumor_probability: float
    views: tuple[str, ...]  # those that every fold had time for
    timings_ms: dict[str, float]
    fold_maps: FoldMaps
    threshold: float
    scan: Scan  # as it was segmented: its greys turned, where it came white on black
    warnings: tuple[str, ...] = ()  # sentences: what is unusual about the scan

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

    def save_mask(self, path: str | os.PathLike[str]) -> None:
        """Write the mask as a PNG of the scan's size, white being tumour, whole or not at all.

        A folder that is not there is made.
        """
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        write_png(Path(path), self.mask)

    def disagreement(self) -> float | None:
        """Return one less the mean Dice between the folds' own masks, 0..1; None of a single fold."""
        return mask_disagreement(self.fold_maps.restored(), self.threshold)

    def uncertainty_map(self) -> FloatMap:
        """Return the standard deviation of the folds' probabilities, (H, W) float32 in 0..0.5."""
        return spread_map(self.fold_maps.restored())


class Ensemble:
    """A few folds of one UNet, averaged over flips and folds.

    Passes of all scans at a time run in one executor, in the order of arrival; by default it has as
    many threads as the engine works on passes side by side.
    """

    def __init__(
        self,
        folds: Sequence[FoldFile],
        engine: Engine,
        *,
        tta_ops: Sequence[str],
        threshold: float,
        classifier: Classifier | None = None,
        blank_below: float = 0,
        passes: Executor | None = None,
    ) -> None:
        self.folds = tuple(folds)
        self.engine = engine
        self.tta_ops = tuple(sorted(tta_ops, key=lambda op: op != "identity"))
        self.threshold = threshold
        self.classifier = classifier
        self.blank_below = blank_below
        self._passes = passes or ThreadPoolExecutor(engine.parallel_passes, thread_name_prefix="pass")

    def predict(self, scan: Scan, deadline: Deadline | None = None) -> Prediction:
        """Segment a scan, grey (H, W) or RGB (H, W, 3) uint8, white being no uptake.

        A scan on a black background is turned before; the mask is the same, and `warnings` say so.
        With a deadline, views beyond the first are left out where there is no time for them.
        """
        started = time.perf_counter()
        recognition = recognise(scan)
        probability_map, views, fold_maps, prepare_s = self._infer(
            recognition, self.tta_ops, deadline or Deadline(), started
        )
        timings_s = {"prepare": prepare_s, "infer": time.perf_counter() - started - prepare_s}
        return self.conclude(scan, recognition, probability_map, views, fold_maps, timings_s)

    def conclude(
        self,
        scan: Scan,
        recognition: Recognition,
        probability_map: FloatMap,
        views: tuple[str, ...],
        fold_maps: FoldMaps,
        timings_s: dict[str, float],
    ) -> Prediction:
        """Return what a scan's map (H, W) says of it; `timings_s` are those of the stages before."""
        began = time.perf_counter()
        mask, probability = decide(
            probability_map,
            threshold=self.threshold,
            classifier=self.classifier,
            blank_below=self.blank_below,
        )
        validate_segmentation(scan, mask)
        timings_s = timings_s | {"find": time.perf_counter() - began}
        return Prediction(
            mask,
            probability_map,
            probability,
            views,
            {stage: 1000 * seconds for stage, seconds in timings_s.items()},
            fold_maps,
            self.threshold,
            recognition.scan,
            recognition.warnings,
        )

    def probability_map(self, scan: Scan, tta_ops: tuple[str, ...] | None = None) -> FloatMap:
        """Return the tumour probability of every pixel, (H, W) float32: the mean over folds and views.

        The views are the ensemble's own unless others are named.
        """
        return self._infer(recognise(scan), tta_ops or self.tta_ops, Deadline(), time.perf_counter())[0]

    def warm_up(self) -> None:
        """Segment a blank scan, so that the first real one finds everything in place."""
        self.predict(np.full(WARM_UP_SIZE, 255, dtype=np.uint8))

    def identity(self) -> dict[str, Any]:
        """Return which folds answer, and how, as plain JSON values."""
        return {
            "folds": [{"name": fold.name, "sha256": fold.sha256} for fold in self.folds],
            "engine": self.engine.name,
            "tta_ops": list(self.tta_ops),
            "threshold": self.threshold,
            "blank_below": self.blank_below,
        }

    def _infer(
        self, recognition: Recognition, tta_ops: tuple[str, ...], deadline: Deadline, started: float
    ) -> tuple[FloatMap, tuple[str, ...], FoldMaps, float]:
        """Return the mean map (H, W), the views that it is the mean of, the folds' own maps, and the
        seconds since `started` that preparation took.
        """
        grey = to_grey(recognition.scan)  # (H, W)
        size = (grey.shape[0], grey.shape[1])
        preparations = [fold.metadata.preparation for fold in self.folds]
        prepared = {preparation: preparation.prepare(grey) for preparation in preparations}
        prepare_s = time.perf_counter() - started
        width = self.engine.views_per_pass
        batches = [tta_ops[start : start + width] for start in range(0, len(tta_ops), width)]

        def submit(ops: tuple[str, ...]) -> list[Future[FloatMap | None]]:
            must = ops is batches[0]
            return [
                self._passes.submit(self._pass, fold, prepared[preparation], ops, deadline, must)
                for fold, preparation in enumerate(preparations)
            ]

        submitted = [(ops, submit(ops)) for ops in batches]
        views: list[str] = []
        sums = [np.zeros_like(prepared[preparation]) for preparation in preparations]  # (h, w) each
        for ops, passes in submitted:
            maps = [done.result() for done in passes]
            of_folds = [of_fold for of_fold in maps if of_fold is not None]
            if len(of_folds) == len(self.folds):
                views += ops
                sums = [so_far + of_fold for so_far, of_fold in zip(sums, of_folds, strict=True)]
        fold_maps = FoldMaps(tuple(sums), len(views), tuple(preparations), size)
        return fold_maps.mean(), tuple(views), fold_maps, prepare_s

    def _pass(
        self, fold: int, prepared: FloatMap, ops: tuple[str, ...], deadline: Deadline, must: bool
    ) -> FloatMap | None:
        """Return the sum of a fold's maps (h, w) over views, or None where there is no time for them."""
        if not must and not deadline.allows_another_pass():
            return None
        started = time.monotonic()
        maps = self.engine.run(fold, views_of(prepared, ops))  # (B, h, w)
        deadline.took(time.monotonic() - started)
        return sum_of_views(maps, ops)


def load_ensemble(settings: Settings | None = None) -> Ensemble:
    """Load the folds that the settings name: W&B artifacts, or those that `ensemble.json` lists.

    Without settings, those of the environment and of `.env`.
    Raises `WeightsError` or `SettingsError` with one sentence that says what to do.
    """
    settings = settings or read_settings()
    folds, listed = read_folds(settings)
    return build_ensemble(
        folds,
        settings,
        tta_ops=listed.tta_ops,
        threshold=listed.threshold,
        classifier=listed.classifier,
        blank_below=listed.blank_below,
    )


def build_ensemble(
    folds: Sequence[FoldFile],
    settings: Settings,
    *,
    tta_ops: tuple[str, ...],
    threshold: float,
    classifier: Classifier | None = None,
    blank_below: float = 0,
) -> Ensemble:
    """Load folds into an engine.

    `TTA`, `TTA_OPS`, `PRED_THRESHOLD` and `BLANK_BELOW` override what they come with.
    """
    ops = (settings.tta_ops or tta_ops) if settings.tta else ("identity",)
    return Ensemble(
        folds,
        open_engine(folds, settings),
        tta_ops=ops,
        threshold=settings.pred_threshold or threshold,
        classifier=classifier,
        blank_below=blank_below if settings.blank_below is None else settings.blank_below,
    )
