"""INT8 on OpenVINO: which convolutions are quantised, and the model with them quantised.

Weights get one symmetric range an output channel, inputs one range a tensor. In float stay the
first and the last convolution and everything of squeeze-excite and SCSE attention: they cost
little time, and much accuracy.

Source: Jacob et al. 2018 (integer-arithmetic-only inference).
"""

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as ops

from inference.errors import WeightsError
from inference.weights.activation_ranges import ActivationRanges

Bound = npt.NDArray[np.float32] | np.float32

INPUT_LEVELS = 256
WEIGHT_LEVELS = 255
"""One less than the inputs' makes the range of the weights symmetric: zero stays zero."""


def quantizable(model: ov.Model) -> list[ov.Node]:
    """Return the convolutions that run in INT8, in the order of the network."""
    kinds = ("Convolution", "GroupConvolution")
    convolutions = [node for node in model.get_ordered_ops() if node.get_type_name() in kinds]
    return [node for node in convolutions[1:-1] if not _is_attention(node)]


def observe_inputs(model: ov.Model) -> ov.Model:
    """Return the model that answers, in place of the map, the lowest and highest input of each of them.

    The outputs are scalars, lowest and highest in turn.
    """
    extremes = []
    for node in quantizable(model):
        axes = ops.constant(np.arange(4))
        extremes.append(ops.reduce_min(node.input_value(0), axes))
        extremes.append(ops.reduce_max(node.input_value(0), axes))
    return ov.Model([ops.result(extreme) for extreme in extremes], model.get_parameters(), "extremes")


def quantize(model: ov.Model, ranges: ActivationRanges) -> None:
    """Quantise a float model in place; raises `WeightsError` for ranges of another network."""
    nodes = quantizable(model)
    if not len(nodes) == len(ranges.low) == len(ranges.high):
        raise WeightsError(
            f"the activation ranges are for {len(ranges.low)} convolutions, the network has {len(nodes)}: "
            "run `python -m training quantize` again, or set PRECISION=f32"
        )
    for node, low, high in zip(nodes, ranges.low, ranges.high, strict=True):
        node.input(0).replace_source_output(_quantized_input(node.input_value(0), low, high))
        node.input(1).replace_source_output(_quantized_weights(node))
    model.validate_nodes_and_infer_types()


def _is_attention(node: ov.Node) -> bool:
    """Say whether a convolution sees one pixel a channel (squeeze-excite) or answers one channel (SCSE)."""
    rows = node.input_value(0).get_partial_shape()[2]
    channels = node.output(0).get_partial_shape()[1]
    return bool(rows == ov.Dimension(1) or channels == ov.Dimension(1))


def _quantized_input(source: ov.Output, low: float, high: float) -> ov.Output:
    low, high = min(low, 0.0), max(high, 0.0)
    step = (high - low) / (INPUT_LEVELS - 1)
    if step == 0:
        return source
    low = round(low / step) * step  # so that zero, which padding and ReLU make, stays zero
    return _fake_quantize(source, np.float32(low), np.float32(low + step * (INPUT_LEVELS - 1)), INPUT_LEVELS)


def _quantized_weights(node: ov.Node) -> ov.Output:
    weights = node.input_value(1).get_node().data
    output_axes = 2 if node.get_type_name() == "GroupConvolution" else 1
    reach = np.abs(weights).max(axis=tuple(range(output_axes, weights.ndim)), keepdims=True)
    reach = np.maximum(reach, np.float32(1e-8))
    return _fake_quantize(ops.constant(weights).output(0), -reach, reach, WEIGHT_LEVELS)


def _fake_quantize(source: ov.Output, low: Bound, high: Bound, levels: int) -> ov.Output:
    bounds = [ops.constant(np.asarray(bound, dtype=np.float32)) for bound in (low, high, low, high)]
    return ops.fake_quantize(source, *bounds, levels).output(0)
