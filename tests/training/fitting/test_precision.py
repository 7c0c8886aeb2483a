import torch
from torch import nn

from training.fitting.precision import keep_depthwise_in_float32


def test_depthwise_convolutions_stay_in_float32_under_autocast() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 3, groups=4))
    plain = network(torch.ones(1, 1, 8, 8))
    keep_depthwise_in_float32(network)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        hidden = network[0](torch.ones(1, 1, 8, 8))
        output = network[2](hidden)
    assert hidden.dtype == torch.bfloat16
    assert output.dtype == torch.float32
    assert output.shape == plain.shape
    assert isinstance(network[2], nn.Conv2d)
