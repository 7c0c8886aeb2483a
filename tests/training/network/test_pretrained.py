import numpy as np
import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet
from torch import nn

from inference.unet import build_unet
from training.config import FitConfig
from training.fitting.module import FoldModule
from training.network.pretrained import STEEPNESS, read_lite2, start_from_lite2
from training.phantoms.drawing import make_phantom

B3_IMAGE_SIZE = 300  # decides where strided convolutions pad; given to both, so that they pad alike
LITE2_STAGE_ENDS = (3, 6, 14, 20)


class ScaledReLU6(nn.Module):
    """ReLU6 on activations that are `STEEPNESS` times larger."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(0, 6 * STEEPNESS)


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    torch.manual_seed(0)
    encoder = build_unet().get_submodule("encoder")
    start_from_lite2(encoder, read_lite2())
    return encoder.eval()


def scan() -> torch.Tensor:
    grey = make_phantom(1, lesions=5, size=(384, 352)).grey
    return torch.from_numpy(1 - grey.astype(np.float32) / 255)[None, None]  # (1, 1, 384, 352)


def features_of_lite2(uptake: torch.Tensor) -> list[torch.Tensor]:
    network = EfficientNet.from_name("efficientnet-lite2", image_size=B3_IMAGE_SIZE)
    network.load_state_dict(read_lite2())
    network.eval()
    features = []
    with torch.no_grad():
        # shown 0..2 for -1..1: what it pads with is no uptake then, as it is in a prepared scan
        network._bn0.running_mean += network._conv_stem.weight.sum(dim=(1, 2, 3))
        x = network._swish(network._bn0(network._conv_stem((2 * uptake).repeat(1, 3, 1, 1))))
        for index, block in enumerate(network._blocks):
            x = block(x)
            if index in LITE2_STAGE_ENDS:
                features.append(x)
    return features


def test_a_grown_encoder_computes_the_features_of_lite2(encoder: nn.Module) -> None:
    for module in encoder.modules():
        if hasattr(module, "_swish"):
            module._swish = ScaledReLU6()
    with torch.no_grad():
        grown = encoder(scan())[2:]
    for ours, theirs in zip(grown, features_of_lite2(scan()), strict=True):
        torch.testing.assert_close(ours[:, : theirs.shape[1]], theirs, atol=1e-3, rtol=1e-3)


def test_the_network_of_a_run_starts_from_it(encoder: nn.Module) -> None:
    torch.manual_seed(0)
    started = FoldModule(FitConfig(fold=0)).network.get_submodule("encoder").state_dict()
    torch.manual_seed(0)
    at_random = (
        FoldModule(FitConfig.model_validate({"fold": 0, "encoder_weights": "none"}))
        .network.get_submodule("encoder")
        .state_dict()
    )
    kernels = "_blocks.8._expand_conv.weight"
    assert torch.equal(started[kernels], encoder.state_dict()[kernels])
    assert not torch.equal(started[kernels], at_random[kernels])
