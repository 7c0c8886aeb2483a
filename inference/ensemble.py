"""The ensemble: every fold sees a scan in every view, and the average decides."""

import os
import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.atomic_write import write_png
from inference.deadline import Deadline
from inference.disagreement import FoldMaps, mask_disagreement, spread_map
from inference.engines.engine import Engine, open_engine
from inference.findings import Classifier, Lesion, Mask, decide, find_lesions
from inference.preparation import FloatMap, Preparation, to_grey
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
        With a deadline, views beyond those of the first pass are left out where there is no time for them.
        """
        return self.predict_batch([scan], deadline)[0]

    def predict_batch(self, scans: Sequence[Scan], deadline: Deadline | None = None) -> list[Prediction]:
        """Segment scans as `predict` does each, in one pass a fold for all that are prepared to one size.

        A card, which a scan alone leaves half idle, is busy with several; how many of what size fit into
        its memory is the caller's to know. The deadline is that of all, and so are the timings.
        """
        started = time.perf_counter()
        prepared = [self._prepare(scan) for scan in scans]
        began = time.perf_counter()
        self._infer(prepared, self.tta_ops, deadline or Deadline())
        maps = [one.fold_maps.mean() for one in prepared]  # (H, W) each
        timings_s = {"prepare": began - started, "infer": time.perf_counter() - began}
        return [self._conclude(one, mean, timings_s) for one, mean in zip(prepared, maps, strict=True)]

    def probability_map(self, scan: Scan, tta_ops: tuple[str, ...] | None = None) -> FloatMap:
        """Return the tumour probability of every pixel, (H, W) float32: the mean over folds and views.

        The views are the ensemble's own unless others are named.
        """
        prepared = self._prepare(scan)
        self._infer([prepared], tta_ops or self.tta_ops, Deadline())
        return prepared.fold_maps.mean()

    def warm_up(self) -> None:
        """Segment a blank scan in one pass a fold, so that the first real one finds everything in place."""
        prepared = self._prepare(np.full(WARM_UP_SIZE, 255, dtype=np.uint8))
        self._infer([prepared], self.tta_ops[: self.engine.views_per_pass], Deadline())
        self._conclude(prepared, prepared.fold_maps.mean(), {})

    def identity(self) -> dict[str, Any]:
        """Return which folds answer, and how, as plain JSON values."""
        return {
            "folds": [{"name": fold.name, "sha256": fold.sha256} for fold in self.folds],
            "engine": self.engine.name,
            "tta_ops": list(self.tta_ops),
            "threshold": self.threshold,
            "blank_below": self.blank_below,
        }

    def _prepare(self, scan: Scan) -> "_PreparedScan":
        """Recognise a scan and make each fold's input of it; folds that prepare alike share theirs."""
        recognition = recognise(scan)
        grey = to_grey(recognition.scan)  # (H, W)
        preparations = tuple(fold.metadata.preparation for fold in self.folds)
        inputs = {preparation: preparation.prepare(grey) for preparation in preparations}  # (h, w) each
        return _PreparedScan(scan, recognition, preparations, tuple(inputs[each] for each in preparations))

    def _infer(
        self, prepared: Sequence["_PreparedScan"], tta_ops: tuple[str, ...], deadline: Deadline
    ) -> None:
        """Show scans to every fold, as they are and then flipped, those of one size in one pass."""
        by_size: dict[tuple[tuple[int, ...], ...], list[_PreparedScan]] = defaultdict(list)
        for one in prepared:
            by_size[tuple(image.shape for image in one.inputs)].append(one)
        width = self.engine.views_per_pass
        submitted = []
        for first in range(0, len(tta_ops), width):
            ops = tta_ops[first : first + width]
            may_drop = first > 0
            for alike in by_size.values():
                passes = []
                for fold in range(len(self.folds)):
                    images = [one.inputs[fold] for one in alike]
                    passes.append(self._passes.submit(self._pass, fold, images, ops, deadline, may_drop))
                submitted.append((ops, alike, passes))
        try:
            for ops, alike, passes in submitted:
                of_folds = [done.result() for done in passes]
                in_time = [maps for maps in of_folds if maps is not None]
                if len(in_time) == len(self.folds):
                    for one, maps_of_folds in zip(alike, zip(*in_time, strict=True), strict=True):
                        one.add(ops, maps_of_folds)
        finally:  # where one has failed, nobody waits for the others
            for _, _, passes in submitted:
                for waiting in passes:
                    waiting.cancel()

    def _pass(
        self, fold: int, images: Sequence[FloatMap], ops: tuple[str, ...], deadline: Deadline, may_drop: bool
    ) -> list[FloatMap] | None:
        """Return a fold's maps (h, w), one an image, summed over views; None where there is no time left."""
        if may_drop and not deadline.allows_another_pass():
            return None
        views = np.concatenate([views_of(image, ops) for image in images])  # (images * views, h, w)
        started = time.monotonic()
        maps = self.engine.run(fold, views)  # (images * views, h, w)
        deadline.took(time.monotonic() - started)
        return [sum_of_views(of_image, ops) for of_image in np.split(maps, len(images))]

    def _conclude(
        self, prepared: "_PreparedScan", probability_map: FloatMap, timings_s: dict[str, float]
    ) -> Prediction:
        """Return what a scan's map (H, W) says of it; `timings_s` are those of the stages before."""
        began = time.perf_counter()
        mask, probability = decide(
            probability_map,
            threshold=self.threshold,
            classifier=self.classifier,
            blank_below=self.blank_below,
        )
        validate_segmentation(prepared.scan, mask)
        timings_s = timings_s | {"find": time.perf_counter() - began}
        return Prediction(
            mask,
            probability_map,
            probability,
            tuple(prepared.views),
            {stage: 1000 * seconds for stage, seconds in timings_s.items()},
            prepared.fold_maps,
            self.threshold,
            prepared.recognition.scan,
            prepared.recognition.warnings,
        )


class _PreparedScan:
    """A scan on its way through the folds: what each is shown, and what all have made of it so far."""

    def __init__(
        self,
        scan: Scan,
        recognition: Recognition,
        preparations: tuple[Preparation, ...],
        inputs: tuple[FloatMap, ...],
    ) -> None:
        self.scan = scan
        self.recognition = recognition
        self.preparations = preparations
        self.inputs = inputs  # (h, w) float32 of each fold
        self.sums = tuple(np.zeros_like(image) for image in inputs)  # (h, w) of each fold
        self.views: list[str] = []

    def add(self, ops: Sequence[str], maps: Sequence[FloatMap]) -> None:
        """Take in what every fold made of some views: the sum of their maps, (h, w) each."""
        self.views += ops
        self.sums = tuple(so_far + of_fold for so_far, of_fold in zip(self.sums, maps, strict=True))

    @property
    def fold_maps(self) -> FoldMaps:
        """Return the folds' own maps, over the views that all of them had time for."""
        height, width = self.recognition.scan.shape[:2]
        return FoldMaps(self.sums, len(self.views), self.preparations, (height, width))


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
        threshold=threshold if settings.pred_threshold is None else settings.pred_threshold,
        classifier=classifier,
        blank_below=blank_below if settings.blank_below is None else settings.blank_below,
    )
