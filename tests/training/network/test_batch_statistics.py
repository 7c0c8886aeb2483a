import torch
from torch import nn

from training.network.batch_statistics import recompute_batch_statistics


def small_network() -> tuple[nn.Sequential, nn.Conv2d, nn.BatchNorm2d]:
    torch.manual_seed(0)
    convolution, norm = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4, momentum=0.01)
    depthwise = nn.Conv2d(4, 4, 3, groups=4)
    return nn.Sequential(convolution, norm, depthwise, nn.Dropout(0.5)), convolution, norm


def test_batch_statistics_become_those_of_the_batches() -> None:
    network, convolution, norm = small_network()
    network.eval()
    batches = [torch.randn(8, 1, 16, 16) * 3 + 5 for _ in range(4)]
    weights = convolution.weight.clone()
    recompute_batch_statistics(network, batches)
    means = [convolution(batch).mean((0, 2, 3)) for batch in batches]
    assert norm.running_mean is not None
    torch.testing.assert_close(norm.running_mean, torch.stack(means).mean(0))
    assert not network.training
    assert norm.momentum == 0.01
    assert torch.equal(convolution.weight, weights)


def test_the_mode_is_left_as_it_was() -> None:
    network, _, _ = small_network()
    network.train()
    recompute_batch_statistics(network, [torch.randn(2, 1, 8, 8)])
    assert all(module.training for module in network.modules())
