"""Statistics of batch normalisation for weights that never had any of their own."""

from collections.abc import Iterable

import torch
from torch import nn


def recompute_batch_statistics(network: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Set running means and variances of batch normalisation to their averages over batches.

    `batches` are inputs (B, 1, h, w). Everything else in the network (drop connect) behaves as it
    does in serving; weights and modes are left as they were.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    was_training = network.training
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
        norm.train()
    device = next(network.parameters()).device
    with torch.no_grad():
        for inputs in batches:
            network(inputs.to(device).contiguous(memory_format=torch.channels_last))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.train(was_training)
