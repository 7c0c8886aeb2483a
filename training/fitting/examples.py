"""What a network in training makes of a few scans: pictures in the run's folder, masks in the tracker."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import lightning as L
import numpy as np
from lightning.pytorch.callbacks import Callback
from PIL import Image

from inference.findings import cut_mask
from inference.preparation import GreyScan
from inference.report.overlay import draw_overlay
from training.fitting.module import VALIDATION_THRESHOLD, FoldModule
from training.fitting.tracking import RunTracker
from training.phantoms.drawing import SAMPLES, make_sample
from training.scans.dataset import Label, LabelledScan

EXAMPLES_DIR = "examples"
SCANS_SHOWN = 3


@dataclass(frozen=True)
class Example:
    """A scan (H, W) uint8 with its label (H, W) bool, to be looked at during a training."""

    name: str
    grey: GreyScan
    label: Label


def phantom_examples() -> list[Example]:
    """Return the phantoms that ship with the project: no scan of a person, so that anyone may see them."""
    phantoms = {name: make_sample(name) for name in SAMPLES}
    return [Example(name, phantom.grey, phantom.label) for name, phantom in phantoms.items()]


def scan_examples(held_out: Iterable[LabelledScan]) -> list[Example]:
    """Return the first few held-out scans, for a user who allows that they are logged."""
    return [Example(scan.case.name, scan.grey, scan.label) for scan in list(held_out)[:SCANS_SHOWN]]


class ExampleMasks(Callback):
    """Draws and logs the masks of a few scans at every validation.

    To stand before the averaging callback, which takes the averaged weights out again at the same hook.
    """

    def __init__(self, examples: list[Example], run_dir: Path, tracker: RunTracker | None) -> None:
        self.examples = examples
        self.folder = run_dir / EXAMPLES_DIR
        self.tracker = tracker
        self._drawn_at_step: int | None = None

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw what the validated weights make of the examples."""
        assert isinstance(pl_module, FoldModule)
        self.draw(pl_module, trainer.global_step)

    def draw(self, module: FoldModule, step: int) -> None:
        """Write `examples/NAME.png`, label on the left and mask on the right, and log both, once a step."""
        if step == self._drawn_at_step:
            return
        self._drawn_at_step = step
        self.folder.mkdir(exist_ok=True)
        was_training = module.network.training
        module.network.eval()
        for example in self.examples:
            mask = cut_mask(module.probability_map(example.grey), VALIDATION_THRESHOLD)  # (H, W, 3)
            label = cut_mask(example.label.astype(np.float32), VALIDATION_THRESHOLD)  # (H, W, 3)
            sides = [draw_overlay(example.grey, outlined) for outlined in (label, mask)]
            Image.fromarray(np.hstack(sides)).save(self.folder / f"{example.name}.png")
            if self.tracker is not None:
                self.tracker.log_masks(
                    f"{EXAMPLES_DIR}/{example.name}", example.grey, label=label, mask=mask, step=step
                )
        module.network.train(was_training)
