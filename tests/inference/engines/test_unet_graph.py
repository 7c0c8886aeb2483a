"""The graph that is built for OpenVINO, held against the network that PyTorch runs."""

import os
from pathlib import Path

import numpy as np
import numpy.typing as npt
import openvino as ov
import pytest
import torch

from inference.engines.quantization import quantizable
from inference.engines.unet_graph import build_graph
from inference.errors import WeightsError
from inference.preparation import Preparation
from inference.unet import build_unet
from inference.weights.checkpoints import load_network, save_fold
from inference.weights.ensemble_file import read_ensemble_file, read_listed_folds
from inference.weights.fold_file import FoldFile, FoldMetadata, read_fold
from tests.conftest import ROOT
from training.phantoms.drawing import Phantom
from training.scans.dataset import find_cases, read_cases

MODELS = ROOT / "models"
SHIPPED = read_listed_folds(MODELS, read_ensemble_file(MODELS))
METADATA = FoldMetadata(fold=1, preparation=Preparation(input_scale=0.72))
TOLERANCE = 1e-4
REAL_SCANS = 10

needs_data = pytest.mark.skipif("TUMOR_DATA_DIR" not in os.environ, reason="TUMOR_DATA_DIR is not set")


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> FoldFile:
    """A fold of random weights, whose batch statistics are no ones and zeros either."""
    path = tmp_path_factory.mktemp("untrained") / "fold1.safetensors"
    torch.manual_seed(0)
    network = build_unet()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.3)
            module.running_mean.normal_(std=0.3)
            module.running_var.uniform_(0.5, 2)
    save_fold(network, METADATA, path)
    return read_fold(path)


def worst_difference(fold: FoldFile, greys: list[npt.NDArray[np.uint8]]) -> float:
    """Return by how much the probability of any pixel differs from eager PyTorch's in float32."""
    compiled = ov.Core().compile_model(build_graph(fold), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    network = load_network(fold)
    differences = []
    for grey in greys:
        scan = fold.metadata.preparation.prepare(grey)[None, None]  # (1, 1, h, w)
        with torch.inference_mode():
            expected = network(torch.from_numpy(scan)).sigmoid().numpy()
        differences.append(np.abs(compiled({0: scan})[0] - expected).max())
    return float(max(differences))


@pytest.mark.parametrize("fold", SHIPPED, ids=lambda fold: fold.name)
def test_a_shipped_fold_answers_as_in_pytorch(fold: FoldFile, phantoms: list[Phantom]) -> None:
    assert worst_difference(fold, [phantom.grey for phantom in phantoms]) < TOLERANCE


def test_a_fold_with_random_weights_answers_as_in_pytorch(
    untrained: FoldFile, phantoms: list[Phantom]
) -> None:
    assert worst_difference(untrained, [phantom.grey for phantom in phantoms]) < TOLERANCE


@needs_data
def test_folds_answer_as_in_pytorch_on_real_scans(untrained: FoldFile) -> None:
    cases = find_cases(Path(os.environ["TUMOR_DATA_DIR"]))
    some = cases[:: len(cases) // REAL_SCANS][:REAL_SCANS]
    assert len(some) == REAL_SCANS
    for fold in (*SHIPPED, untrained):
        assert worst_difference(fold, [scan.grey for scan in read_cases(some)]) < TOLERANCE, fold.name


def test_a_file_of_pytorch_gives_the_same_graph(tmp_path: Path, phantom: Phantom) -> None:
    torch.save(load_network(SHIPPED[0]).state_dict(), tmp_path / "fold0.pth")
    scan = SHIPPED[0].metadata.preparation.prepare(phantom.grey)[None, None]
    answers = [
        ov.Core().compile_model(build_graph(fold), "CPU")({0: scan})[0]
        for fold in (SHIPPED[0], read_fold(tmp_path / "fold0.pth"))
    ]
    np.testing.assert_array_equal(*answers)


def test_scans_of_any_size_are_taken() -> None:
    compiled = ov.Core().compile_model(build_graph(SHIPPED[0]), "CPU")
    for size in ((32, 32), (64, 96), (256, 192)):
        answer = compiled({0: np.zeros((1, 1, *size), np.float32)})[0]
        assert answer.shape == (1, 1, *size)
        assert answer.min() >= 0
        assert answer.max() <= 1


def test_convolutions_have_the_order_that_activation_ranges_are_told_by() -> None:
    graph = build_graph(SHIPPED[0])
    inputs = [node.input_value(0).get_partial_shape()[1].get_length() for node in quantizable(graph)]
    assert inputs[:10] == [40, 40, 24, 24, 24, 144, 144, 32, 192, 192]  # the encoder's first blocks
    assert inputs[-10:] == [520, 256, 304, 128, 160, 64, 104, 32, 32, 16]  # two of each decoder's block


def test_what_is_no_fold_is_told_by_its_tensors(tmp_path: Path) -> None:
    state = load_network(SHIPPED[0]).state_dict()
    state["segmentation_head.0.bias"] = torch.zeros(2)
    torch.save(state, tmp_path / "fold.pth")
    with pytest.raises(WeightsError, match=r"has misshapen 1 tensors \(segmentation_head.0.bias"):
        build_graph(read_fold(tmp_path / "fold.pth"))
    del state["segmentation_head.0.bias"], state["encoder._conv_head.weight"]
    torch.save(state, tmp_path / "fold.pth")
    with pytest.raises(WeightsError, match=r"misses 2 tensors \(encoder._conv_head.weight, segm"):
        build_graph(read_fold(tmp_path / "fold.pth"))


def test_the_graph_asks_for_every_tensor_of_the_network(tmp_path: Path) -> None:
    """Where `inference/unet.py` becomes another network, its untrained fold no longer fits the graph."""
    torch.save(build_unet().state_dict(), tmp_path / "fold.pth")
    build_graph(read_fold(tmp_path / "fold.pth"))
