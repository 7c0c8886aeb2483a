"""Mixed precision: on CUDA as it comes, on CPUs without the one kernel that makes it slow."""

from typing import Literal

import torch
from torch import nn


def resolve_precision(
    precision: Literal["auto", "32-true", "bf16-mixed"],
) -> Literal["32-true", "bf16-mixed"]:
    """Return Lightning's name of the precision: "auto" is bfloat16 on CUDA, float32 on CPUs."""
    if precision != "auto":
        return precision
    return "bf16-mixed" if torch.cuda.is_available() else "32-true"


def keep_depthwise_in_float32(network: nn.Module) -> None:
    """Take depthwise convolutions out of CPU autocast.

    oneDNN's bfloat16 gradient of a strided or 5 x 5 depthwise convolution is up to ten times
    slower than the float32 one, which made up a third of a training step.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1:
            kind = type(module)
            module.__class__ = type(f"Float32{kind.__name__}", (_OutsideAutocast, kind), {})


class _OutsideAutocast(nn.Module):
    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", enabled=False):
            return super().forward(inputs.float())  # type: ignore[no-any-return]
