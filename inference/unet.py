"""The one network of the project: a UNet with an efficientnet-b3 encoder and SCSE decoder attention."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

ARCHITECTURE = "unet-efficientnet-b3-scse"


def build_unet(encoder_weights: str | None = None) -> "nn.Module":
    """Build the UNet that maps a prepared scan to tumour logits.

    Input (B, 1, H, W) float, H and W multiples of 32; output logits of the same shape.
    `encoder_weights` is "imagenet" (downloaded by segmentation-models-pytorch) or None (random).

    Source: Ronneberger et al. 2015 (UNet), Tan & Le 2019 (EfficientNet), Roy et al. 2018 (SCSE).
    """
    import segmentation_models_pytorch as smp  # with PyTorch, which a service on a CPU does without

    network: nn.Module = smp.Unet(
        "efficientnet-b3",
        encoder_weights=encoder_weights,
        decoder_attention_type="scse",
        in_channels=1,
        classes=1,
    )
    return network
