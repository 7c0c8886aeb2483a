"""The network of `inference/unet.py` in OpenVINO's own operations, built from a fold's tensors.

Nothing of PyTorch is needed for it, and nothing is kept of it. Batch normalisation, a factor and a sum
for each channel once a network is trained, is folded into the convolution before it.

Source: Tan & Le 2019 (EfficientNet), Ronneberger et al. 2015 (UNet), Roy et al. 2018 (SCSE), as
segmentation-models-pytorch has them.
"""

from math import ceil
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import openvino as ov
from openvino import opset13 as ops

from inference.weights.fold_file import FoldFile
from inference.weights.tensors import Tensors, check_tensors, read_tensors


class Stage(NamedTuple):
    """Some of the encoder's blocks, all alike but for the first one's stride."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int
    seen_by_decoder: bool


STAGES = (  # of efficientnet-b3
    Stage(2, 3, 1, 1, 24, False),
    Stage(3, 3, 2, 6, 32, True),
    Stage(3, 5, 2, 6, 48, True),
    Stage(5, 3, 2, 6, 96, False),
    Stage(5, 5, 1, 6, 136, True),
    Stage(6, 5, 2, 6, 232, False),
    Stage(2, 3, 1, 6, 384, True),
)
STEM, HEAD = 40, 1536
"""Channels of the encoder's first convolution, and of its last, which a UNet holds and does not use."""

DECODER = (256, 128, 64, 32, 16)
"""Channels of the decoder's blocks, each at twice the height and width of the one before."""

SQUEEZE, REDUCTION = 4, 16
"""How many times fewer channels squeeze-excite and SCSE go through."""

PADDED_FOR_PX = 300
"""The size of picture that efficientnet-b3's padding is made for, whatever it sees."""

ENCODER_EPSILON, DECODER_EPSILON = 1e-3, 1e-5
"""What batch normalisation adds to a variance."""

Weights = npt.NDArray[np.float32]


def build_graph(fold: FoldFile) -> ov.Model:
    """Return a fold's network: a scan (1, 1, h, w) float32 in, its probabilities (1, 1, h, w) 0..1 out.

    h and w are any multiples of 32.
    Raises `WeightsError` where the file holds anything but the tensors of this architecture.
    """
    layers = _Layers(read_tensors(fold))
    scan = ops.parameter([1, 1, -1, -1], np.float32, "scan")
    logits = layers.convolve(_decode(layers, _encode(layers, scan)), "segmentation_head.0", 1, 3)
    check_tensors(fold, layers.tensors, layers.expected)
    return ov.Model([ops.result(ops.sigmoid(logits))], [scan], "unet")


def _encode(layers: "_Layers", scan: ov.Node) -> list[ov.Node]:
    """Return a scan's features at 1/2, 1/4, 1/8, 1/16 and 1/32 of its size."""
    padding, size = _same_padding(PADDED_FOR_PX, kernel=3, stride=2)
    stem = layers.convolve_normed(
        scan, "encoder._conv_stem", "encoder._bn0", STEM, 3, stride=2, padding=padding
    )
    x = ops.swish(stem)
    features, number = [x], 0
    for stage in STAGES:
        for stride in (stage.stride, *(stage.blocks - 1) * [1]):
            padding, size = _same_padding(size, kernel=stage.kernel, stride=stride)
            x = _inverted_bottleneck(layers, x, f"encoder._blocks.{number}", stage, stride, padding)
            number += 1
        if stage.seen_by_decoder:
            features.append(x)
    layers.normed("encoder._conv_head", "encoder._bn1", (HEAD, _channels(x), 1, 1), ENCODER_EPSILON)
    return features


def _inverted_bottleneck(
    layers: "_Layers", block_input: ov.Node, name: str, stage: Stage, stride: int, padding: tuple[int, int]
) -> ov.Node:
    """Return a block's output: expanded, convolved channel by channel, weighed by channel, projected."""
    x, channels = block_input, _channels(block_input)
    expanded = channels * stage.expansion
    if stage.expansion > 1:
        x = ops.swish(layers.convolve_normed(x, f"{name}._expand_conv", f"{name}._bn0", expanded))
    x = layers.convolve_normed(
        x,
        f"{name}._depthwise_conv",
        f"{name}._bn1",
        expanded,
        stage.kernel,
        stride=stride,
        padding=padding,
        depthwise=True,
    )
    x = ops.swish(x)
    squeezed = ops.swish(layers.convolve(_mean_of_pixels(x), f"{name}._se_reduce", channels // SQUEEZE))
    x = ops.multiply(ops.sigmoid(layers.convolve(squeezed, f"{name}._se_expand", expanded)), x)
    x = layers.convolve_normed(x, f"{name}._project_conv", f"{name}._bn2", stage.channels)
    return ops.add(x, block_input) if stride == 1 and channels == stage.channels else x


def _decode(layers: "_Layers", features: list[ov.Node]) -> ov.Node:
    """Return what is decoded of an encoder's features, at the size of the scan."""
    *skips, x = features
    for number, channels in enumerate(DECODER):
        name = f"decoder.blocks.{number}"
        x = _twice_as_large(x)
        if skips:
            x = _attend(layers, ops.concat([x, skips.pop()], 1), f"{name}.attention1")
        else:
            _attend(layers, x, f"{name}.attention1")  # which the fold holds and the network does not use
        for conv in ("conv1", "conv2"):
            x = layers.convolve_normed(
                x, f"{name}.{conv}.0", f"{name}.{conv}.1", channels, 3, epsilon=DECODER_EPSILON
            )
            x = ops.relu(x)
        x = _attend(layers, x, f"{name}.attention2")
    return x


def _attend(layers: "_Layers", x: ov.Node, name: str) -> ov.Node:
    """Return features weighed by channel and, beside that, by pixel (SCSE)."""
    reduced = layers.convolve(
        _mean_of_pixels(x), f"{name}.attention.cSE.1", max(1, _channels(x) // REDUCTION)
    )
    by_channel = layers.convolve(ops.relu(reduced), f"{name}.attention.cSE.3", _channels(x))
    by_pixel = layers.convolve(x, f"{name}.attention.sSE.0", 1)
    return ops.add(ops.multiply(x, ops.sigmoid(by_channel)), ops.multiply(x, ops.sigmoid(by_pixel)))


def _same_padding(size: int, *, kernel: int, stride: int) -> tuple[tuple[int, int], int]:
    """Return the pixels to add before and after a side of so many, and how many the convolution leaves."""
    out = ceil(size / stride)
    added = max((out - 1) * stride + kernel - size, 0)
    return (added // 2, added - added // 2), out


def _twice_as_large(x: ov.Node) -> ov.Node:
    return ops.interpolate(
        x,
        np.array([2, 2], np.float32),
        "nearest",
        "scales",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
        axes=np.array([2, 3]),
    )


def _mean_of_pixels(x: ov.Node) -> ov.Node:
    return ops.reduce_mean(x, np.array([2, 3]), keep_dims=True)


def _channels(x: ov.Node) -> int:
    return int(x.get_output_partial_shape(0)[1].get_length())


class _Layers:
    """Convolutions with a fold's tensors, and the names and shapes of all that they have asked for.

    A tensor that is missing or of another shape is zeros: the fault is told once all are known.
    """

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors
        self.expected: dict[str, tuple[int, ...]] = {}

    def convolve(self, x: ov.Node, name: str, channels: int, kernel: int = 1) -> ov.Node:
        """Return a convolution with a bias, padded on both sides alike."""
        weights = self._take(f"{name}.weight", channels, _channels(x), kernel, kernel)
        bias = self._take(f"{name}.bias", channels)
        return _convolution(x, weights, bias, 1, (kernel // 2, kernel // 2))

    def convolve_normed(
        self,
        x: ov.Node,
        name: str,
        norm: str,
        channels: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        padding: tuple[int, int] | None = None,
        depthwise: bool = False,
        epsilon: float = ENCODER_EPSILON,
    ) -> ov.Node:
        """Return a convolution without a bias of its own, and the batch normalisation behind it, as one."""
        shape = (channels, 1 if depthwise else _channels(x), kernel, kernel)
        weights, bias = self.normed(name, norm, shape, epsilon)
        return _convolution(x, weights, bias, stride, padding or (kernel // 2, kernel // 2), depthwise)

    def normed(self, name: str, norm: str, shape: tuple[int, ...], epsilon: float) -> tuple[Weights, Weights]:
        """Return the weights and the bias that a convolution has with the batch normalisation behind it."""
        weights = self._take(f"{name}.weight", *shape)
        scale, shift, mean, variance = (
            self._take(f"{norm}.{of}", shape[0]) for of in ("weight", "bias", "running_mean", "running_var")
        )
        self._take(f"{norm}.num_batches_tracked")
        scale = scale / np.sqrt(variance + np.float32(epsilon))
        return weights * scale[:, None, None, None], shift - mean * scale

    def _take(self, name: str, *shape: int) -> Weights:
        self.expected[name] = shape
        tensor = self.tensors.get(name)
        if tensor is None or tensor.shape != shape:
            return np.zeros(shape, np.float32)
        return tensor.astype(np.float32, copy=False)


def _convolution(
    x: ov.Node,
    weights: Weights,
    bias: Weights,
    stride: int,
    padding: tuple[int, int],
    depthwise: bool = False,
) -> ov.Node:
    before, after = ([side, side] for side in padding)
    if depthwise:
        weights = weights[:, None]  # (groups, 1, 1, kernel, kernel)
    convolution = ops.group_convolution if depthwise else ops.convolution
    x = convolution(x, ops.constant(weights), [stride, stride], before, after, [1, 1])
    return ops.add(x, ops.constant(bias[None, :, None, None]))
