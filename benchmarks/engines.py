"""Engines to compare with: eager PyTorch as it comes, and ONNX Runtime."""

import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch

from inference.engines.cores import usable_cores
from inference.preparation import FloatMap
from inference.weights.checkpoints import load_network
from inference.weights.fold_file import FoldFile


class EagerEngine:
    """Eager float32 PyTorch on the CPU, in its usual memory layout."""

    name = "torch-eager"
    parallel_passes = 1

    def __init__(self, folds: Sequence[FoldFile], *, views_per_pass: int) -> None:
        self.views_per_pass = views_per_pass
        self.networks = [load_network(fold) for fold in folds]

    @torch.inference_mode()
    def run(self, fold: int, views: FloatMap) -> FloatMap:
        """Return the probability of every pixel: (B, h, w) float32 in, (B, h, w) float32 in 0..1 out."""
        logits = self.networks[fold](torch.from_numpy(views)[:, None])  # (B, 1, h, w)
        return np.asarray(logits[:, 0].sigmoid().numpy())


class OnnxEngine:
    """ONNX Runtime on the CPU, float32."""

    name = "onnxruntime"
    parallel_passes = 1
    views_per_pass = 1

    def __init__(self, folds: Sequence[FoldFile]) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = usable_cores()
        self.sessions = [
            ort.InferenceSession(_onnx(fold), options, providers=["CPUExecutionProvider"]) for fold in folds
        ]

    def run(self, fold: int, views: FloatMap) -> FloatMap:
        """Return the probability of every pixel: (B, h, w) float32 in, (B, h, w) float32 in 0..1 out."""
        (maps,) = self.sessions[fold].run(None, {"scan": views[:, None]})
        return np.asarray(maps[:, 0])


def _onnx(fold: FoldFile) -> bytes:
    """Return a fold as an ONNX graph for scans of any height and width."""
    network = torch.nn.Sequential(load_network(fold), torch.nn.Sigmoid()).eval()
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")  # of tracing: what it holds constant is so for every size
        path = Path(folder) / "fold.onnx"
        torch.onnx.export(
            network,
            (torch.zeros(1, 1, 64, 64),),
            path,
            input_names=["scan"],
            dynamic_axes={"scan": {0: "views", 2: "height", 3: "width"}},
            dynamo=False,
        )
        return path.read_bytes()
