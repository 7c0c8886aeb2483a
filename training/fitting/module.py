"""The network in training: loss, optimiser, averaged weights, batch statistics, validation."""

from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from inference.preparation import FloatMap, GreyScan
from inference.unet import build_unet
from inference.weights.fold_file import METADATA_KEY, FoldMetadata
from training.config import FitConfig
from training.fitting.loading import FoldData
from training.network.batch_statistics import recompute_batch_statistics
from training.network.losses import LOSSES
from training.network.pretrained import read_lite2, start_from_lite2
from training.scans.dataset import LabelledScan
from utils import dice_score

VALIDATION_THRESHOLD = 0.5


class FoldModule(L.LightningModule):
    """Trains one fold's network with AdamW, a short warm-up and a cosine-annealed learning rate."""

    def __init__(self, config: FitConfig) -> None:
        super().__init__()
        self.config = config
        self.network = _start(config.encoder_weights).to(memory_format=torch.channels_last)
        self.loss = LOSSES[config.loss]

    def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
        """Return the loss of a batch: inputs and soft labels, both (B, 1, h, w)."""
        inputs, labels = batch
        logits = self.network(inputs.contiguous(memory_format=torch.channels_last))
        loss = self.loss(logits.float(), labels)
        self.log("train_loss", loss, on_step=False, on_epoch=True, prog_bar=True, batch_size=len(inputs))
        self.log("learning_rate", self._learning_rate(), on_step=True, on_epoch=False)
        return loss

    def validation_step(self, index: int, _: int) -> None:
        """Log the Dice of a held-out patient at native resolution, from the identity view alone."""
        scan: LabelledScan = self.trainer.datamodule.held_out_patients[index]  # type: ignore[attr-defined]
        mask = self.probability_map(scan.grey) >= VALIDATION_THRESHOLD
        self.log("val_dice", dice_score(scan.label, mask), on_epoch=True, prog_bar=True, batch_size=1)

    def probability_map(self, grey: GreyScan) -> FloatMap:
        """Return the tumour probability of every pixel of a scan, (H, W) float32."""
        prepared = self.config.preparation.prepare(grey)  # (h, w)
        inputs = torch.from_numpy(prepared)[None, None].to(self.device)  # (1, 1, h, w)
        with torch.no_grad():
            logits = self.network(inputs.contiguous(memory_format=torch.channels_last))
        probabilities = logits.float().sigmoid()[0, 0].cpu().numpy()  # (h, w)
        return self.config.preparation.restore(probabilities, (grey.shape[0], grey.shape[1]))  # (H, W)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Say in a checkpoint how its network's scans are prepared, so that it can be served."""
        metadata = FoldMetadata(
            fold=self.config.fold,
            preparation=self.config.preparation,
            training={"config": self.config.model_dump(mode="json")},
        )
        checkpoint[METADATA_KEY] = metadata.model_dump_json()

    def configure_optimizers(self) -> Any:
        """Return AdamW with a warm-up and cosine annealing to nothing, or with the annealing alone."""
        optimizer = torch.optim.AdamW(
            self.parameters(), lr=self.config.learning_rate, weight_decay=self.config.weight_decay
        )
        schedule: torch.optim.lr_scheduler.LRScheduler
        steps = int(self.trainer.estimated_stepping_batches)
        if self.config.schedule == "cosine":
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        else:
            schedule = torch.optim.lr_scheduler.OneCycleLR(
                optimizer,
                max_lr=self.config.learning_rate,
                total_steps=steps,
                pct_start=self.config.warmup_share,
                cycle_momentum=False,
            )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _learning_rate(self) -> float:
        return float(self.trainer.optimizers[0].param_groups[0]["lr"])


def _start(encoder_weights: str | None) -> nn.Module:
    if encoder_weights != "lite2":
        return build_unet(encoder_weights)
    network = build_unet()
    start_from_lite2(network.get_submodule("encoder"), read_lite2())
    return network


class BatchStatistics(Callback):
    """Recomputes the statistics of batch normalisation before every validation.

    EfficientNet's slow running averages lag far behind the weights of a short training, and averaged
    weights never had any of their own. To stand after the averaging callback, which swaps the
    averaged weights in.
    """

    def __init__(self, data: FoldData) -> None:
        self.data = data

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Recompute them for the weights that are about to be validated."""
        assert isinstance(pl_module, FoldModule)
        recompute_batch_statistics(pl_module.network, self.data.statistics_batches())
