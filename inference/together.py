"""Several scans in one pass: what cards want, which a single scan leaves half idle."""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from inference.disagreement import FoldMaps
from inference.ensemble import Ensemble, Prediction
from inference.preparation import FloatMap, to_grey
from inference.recognition import Recognition, recognise
from inference.tta import sum_of_views, views_of
from utils import Scan


@dataclass(frozen=True)
class _Begun:
    """A scan that is ready for its passes; `prepared` has (h, w) float32 for every fold."""

    place: int
    scan: Scan
    recognition: Recognition
    prepared: tuple[FloatMap, ...]

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(view.shape for view in self.prepared)


def predict_together(ensemble: Ensemble, scans: Sequence[Scan]) -> list[Prediction]:
    """Segment scans as `Ensemble.predict` does each, in one pass a fold for all that become one size.

    Every scan is seen in all of the ensemble's views: a deadline would have nothing to leave out, since
    the views are computed at once.
    """
    started = time.perf_counter()
    groups: dict[tuple[tuple[int, ...], ...], list[_Begun]] = defaultdict(list)
    for place, scan in enumerate(scans):
        begun = _begin(ensemble, place, scan)
        groups[begun.sizes].append(begun)
    prepare_s = time.perf_counter() - started
    predictions: dict[int, Prediction] = {}
    for group in groups.values():
        began = time.perf_counter()
        sums = [_sums(ensemble, fold, group) for fold in range(len(ensemble.folds))]
        timings_s = {"prepare": prepare_s, "infer": time.perf_counter() - began}
        for begun, of_folds in zip(group, zip(*sums, strict=True), strict=True):
            predictions[begun.place] = _finish(ensemble, begun, of_folds, timings_s)
    return [predictions[place] for place in range(len(scans))]


def _begin(ensemble: Ensemble, place: int, scan: Scan) -> _Begun:
    recognition = recognise(scan)
    grey = to_grey(recognition.scan)  # (H, W)
    prepared = tuple(fold.metadata.preparation.prepare(grey) for fold in ensemble.folds)
    return _Begun(place, scan, recognition, prepared)


def _sums(ensemble: Ensemble, fold: int, group: Sequence[_Begun]) -> list[FloatMap]:
    """Return a fold's maps (h, w) of every scan, summed over views."""
    ops = ensemble.tta_ops
    views = np.concatenate([views_of(scan.prepared[fold], ops) for scan in group])
    maps = ensemble.engine.run(fold, views)  # (scans * views, h, w)
    return [sum_of_views(of_scan, ops) for of_scan in np.split(maps, len(group))]


def _finish(
    ensemble: Ensemble, begun: _Begun, sums: tuple[FloatMap, ...], timings_s: dict[str, float]
) -> Prediction:
    height, width = begun.recognition.scan.shape[:2]
    preparations = tuple(fold.metadata.preparation for fold in ensemble.folds)
    fold_maps = FoldMaps(sums, len(ensemble.tta_ops), preparations, (height, width))
    return ensemble.conclude(
        begun.scan, begun.recognition, fold_maps.mean(), ensemble.tta_ops, fold_maps, timings_s
    )
