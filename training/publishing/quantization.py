"""Activation ranges for INT8, observed on scans that a fold was trained on."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openvino as ov

from inference.engines.quantization import observe_inputs
from inference.engines.unet_graph import build_graph
from inference.weights.activation_ranges import ActivationRanges, write_ranges
from inference.weights.ensemble_file import read_ensemble_file, read_listed_folds
from inference.weights.fold_file import FoldFile
from training.scans.dataset import LabelledScan, find_cases, read_cases
from training.scans.folds import Split, trained_fold

SCANS = 60
SEED = 0


def quantize_folds(models_dir: Path, *, data_dir: Path, split: Split) -> Iterator[ActivationRanges]:
    """Observe the activation ranges of every shipped fold, write them beside it, and yield them.

    Up to `SCANS` scans are drawn, always the same, from those that the fold was trained on.
    Raises `DataError` where a fold was trained on another split.
    """
    cases = find_cases(data_dir)
    for fold in read_listed_folds(models_dir, read_ensemble_file(models_dir)):
        seen = split.training(cases, trained_fold(fold.metadata, split))
        order = np.random.default_rng(SEED).permutation(len(seen))[:SCANS]
        ranges = observe_ranges(fold, read_cases([seen[index] for index in order]))
        write_ranges(ranges, fold.path)
        yield ranges


def observe_ranges(fold: FoldFile, scans: list[LabelledScan]) -> ActivationRanges:
    """Return the mean over scans of each quantisable convolution's lowest and highest input."""
    model = observe_inputs(build_graph(fold))
    compiled = ov.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    observed = []
    for scan in scans:
        answer = compiled({0: fold.metadata.preparation.prepare(scan.grey)[None, None]})
        observed.append([float(answer[number]) for number in range(len(model.outputs))])
    extremes = np.mean(observed, axis=0).reshape(-1, 2)  # (convolutions, 2)
    low, high = ([float(f"{value:.5g}") for value in column] for column in extremes.T)
    return ActivationRanges(weights_sha256=fold.sha256, scans=len(scans), low=tuple(low), high=tuple(high))
