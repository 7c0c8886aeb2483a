from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from inference.engines.quantization import observe_inputs, quantizable, quantize
from inference.engines.unet_graph import build_graph
from inference.errors import WeightsError
from inference.weights.activation_ranges import ActivationRanges, ranges_path, read_ranges, write_ranges
from inference.weights.fold_file import FoldFile, read_fold
from tests.conftest import ROOT
from training.phantoms.drawing import Phantom

FOLD_PATH = ROOT / "models" / "fold0.safetensors"


@pytest.fixture(scope="module")
def fold() -> FoldFile:
    return read_fold(FOLD_PATH)


@pytest.fixture
def model(fold: FoldFile) -> ov.Model:
    return build_graph(fold)


def test_the_ends_and_the_attention_stay_in_float(model: ov.Model) -> None:
    nodes = quantizable(model)
    names = [node.get_friendly_name() for node in nodes]
    assert not any("_se_" in name or "attention" in name or "segmentation_head" in name for name in names)
    assert all(node.input_value(0).get_partial_shape()[1] != ov.Dimension(1) for node in nodes)
    depthwise = [node for node in nodes if node.get_type_name() == "GroupConvolution"]
    assert (
        len(nodes) == 86
    )  # 77 of efficientnet-b3's 26 blocks and its head but the stem, 10 of the decoder, ...
    assert len(depthwise) == 26


def test_observed_extremes_are_those_of_the_inputs(model: ov.Model) -> None:
    first = quantizable(model)[0].input_value(0)
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    direct = ov.Core().compile_model(ov.Model([first], model.get_parameters()), "CPU", exact)
    scan = np.random.default_rng(0).random((1, 1, 64, 64), dtype=np.float32)
    values = direct({0: scan})[0]
    answer = ov.Core().compile_model(observe_inputs(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(
        {0: scan}
    )
    np.testing.assert_allclose([answer[0], answer[1]], [values.min(), values.max()], rtol=1e-3)


def test_a_quantised_fold_answers_almost_the_same(model: ov.Model, fold: FoldFile, phantom: Phantom) -> None:
    ranges = read_ranges(fold)
    assert ranges is not None
    quantize(model, ranges)
    kinds = [node.get_type_name() for node in model.get_ops()]
    assert kinds.count("FakeQuantize") >= 2 * len(ranges.low) - 30  # some inputs are shared
    scan = fold.metadata.preparation.prepare(phantom.grey)[None, None]
    core = ov.Core()
    quantised, plain = (core.compile_model(m, "CPU")({0: scan})[0] for m in (model, build_graph(fold)))
    assert 0 < np.abs(quantised - plain).mean() < 0.01


def test_ranges_of_another_network_are_refused(model: ov.Model, fold: FoldFile) -> None:
    ranges = ActivationRanges(weights_sha256=fold.sha256, scans=1, low=(0.0,), high=(1.0,))
    with pytest.raises(WeightsError, match="for 1 convolutions, the network has 86"):
        quantize(model, ranges)


def test_ranges_belong_to_one_file_of_weights(tmp_path: Path, fold: FoldFile) -> None:
    ranges = ActivationRanges(weights_sha256=fold.sha256, scans=1, low=(0.0,), high=(1.0,))
    here = FoldFile(tmp_path / "fold0.safetensors", fold.sha256, fold.metadata)
    assert read_ranges(here) is None
    write_ranges(ranges, here.path)
    assert read_ranges(here) == ranges
    assert read_ranges(FoldFile(here.path, "f" * 64, fold.metadata)) is None
    ranges_path(here.path).write_text("{")
    assert read_ranges(here) is None
