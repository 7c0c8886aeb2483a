"""`python -m training fit-card`: all folds of a run in one process on one card, within so many minutes."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from loguru import logger

from inference.unet import build_unet
from inference.weights.checkpoints import save_fold
from inference.weights.fold_file import FoldMetadata
from training.card.batches import CardBatches
from training.card.config import CardConfig
from training.card.fold_run import CHECKPOINT_FILE, FoldRun
from training.card.held_out import held_out_maps, score_maps, write_maps
from training.card.scans import load_scans
from training.config import WEIGHTS_FILE
from training.network.origin import describe_origin, start_from
from training.scans.dataset import DataError, LabelledScan
from training.scans.folds import Split

CONFIG_FILE = "card.json"
MAPS_FILE = "held_out_maps.npz"
SCORES_FILE = "held_out.json"
LEAST_SECONDS = 1.0
"""What a fold gets where those before it, or compiling, have taken all the time that there was."""


def fit_card(
    config: CardConfig,
    *,
    scans: Sequence[LabelledScan],
    split: Split,
    run_dir: Path,
    device: torch.device,
    resume: bool = False,
) -> list[Path]:
    """Train the folds one after another and return the files of their averaged weights.

    Each fold has a folder in `run_dir` that is a run to `export`: `fold.safetensors`, `metrics.csv`, the maps
    of the scans that it never saw and their scores. All folds get the same time, and with it as many steps
    as the card takes; the learning rate follows the clock. With `resume` finished folds are left as they
    are, and one that was cut off goes on from its checkpoint, at most a minute back.
    Raises `DataError` where the run's folder or the scans are not as they should be.
    """
    config = _open(config, run_dir, resume=resume)
    torch.backends.cudnn.benchmark = True
    torch.set_float32_matmul_precision("high")
    torch.manual_seed(config.seed)
    trainer = CardTrainer(config, scans, split, device)
    deadline = time.monotonic() + 60 * config.minutes
    written = []
    for number, fold in enumerate(config.folds):
        folder = run_dir / f"fold{fold}"
        folder.mkdir(exist_ok=True)
        weights = folder / WEIGHTS_FILE
        if not weights.exists():
            left, folds_left = deadline - time.monotonic(), len(config.folds) - number
            if resume:  # what is left of the first run's minutes is not known: a fold gets its share of all
                left, folds_left = 60 * config.minutes, len(config.folds)
            seconds = left * (1 - config.closing_share) / folds_left
            trainer.fit_fold(fold, folder, seconds=max(seconds, LEAST_SECONDS))
        written.append(weights)
    return written


class CardTrainer:
    """Trains folds, each from the same start, with one network that is compiled at most once."""

    def __init__(
        self, config: CardConfig, scans: Sequence[LabelledScan], split: Split, device: torch.device
    ) -> None:
        self.config, self.split, self.device = config, split, device
        self.scans = {scan.case.name: scan for scan in scans}
        self.network = build_unet().to(device).to(memory_format=torch.channels_last)
        self.forward = torch.compile(self.network) if config.compiled else self.network
        self.initial = {name: tensor.clone() for name, tensor in self.network.state_dict().items()}

    def fit_fold(self, fold: int, folder: Path, *, seconds: float) -> None:
        """Train a fold for so many seconds, or the rest of them, and write what comes of it."""
        cases = [scan.case for scan in self.scans.values()]
        on_card = load_scans(
            [self.scans[case.name] for case in self.split.training(cases, fold)], self.device
        )
        self.network.load_state_dict(self.initial)
        started_from = None
        if self.config.start_from is not None:
            started_from = start_from(self.config.start_from, self.network, fold, self.split)
        batches = CardBatches(on_card, self.config, fold)
        run = FoldRun(self.config, batches, seconds, self.network, self.forward)
        if (folder / CHECKPOINT_FILE).exists():
            run.restore(folder / CHECKPOINT_FILE)
            logger.info("fold {}: going on after {} steps", fold, run.step)
        logger.info("fold {}: {} patients and {} controls", fold, on_card.patients, on_card.controls)
        run.train(folder)
        crops = run.step * batches.batch_size
        origin = describe_origin(
            self.split, patients=on_card.patients, controls=on_card.controls, started_from=started_from
        )
        done = {"steps": run.step, "crops": crops, "seconds": round(run.elapsed_s, 1), "device": self._name()}
        training = {"card": self.config.model_dump(mode="json")} | done | origin
        self._score([self.scans[case.name] for case in self.split.held_out(cases, fold)], folder)
        metadata = FoldMetadata(fold=fold, preparation=self.config.preparation, training=training)
        save_fold(self.network, metadata, folder / WEIGHTS_FILE)
        (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
        logger.info("fold {}: {} crops in {:.0f} s", fold, crops, run.elapsed_s)

    def _score(self, held_out: Sequence[LabelledScan], folder: Path) -> None:
        maps = list(held_out_maps(self.network, held_out, self.config.preparation, self.device))
        scores = score_maps(maps)
        write_maps(maps, folder / MAPS_FILE)
        (folder / SCORES_FILE).write_text(json.dumps(asdict(scores), indent=1) + "\n")
        logger.info(
            "held out: Dice {}, false-positive px a control {}", scores.dice, scores.false_positive_px
        )

    def _name(self) -> str:
        return torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else self.device.type


def _open(config: CardConfig, run_dir: Path, *, resume: bool) -> CardConfig:
    """Return the configuration of the run: a new folder keeps it, an old one has it."""
    kept = run_dir / CONFIG_FILE
    if resume:
        if not kept.exists():
            raise DataError(f"{run_dir} holds no run to resume: leave out --resume to start it")
        begun = CardConfig.model_validate_json(kept.read_text())
        changed = [name for name in config.model_fields_set if getattr(config, name) != getattr(begun, name)]
        if changed:
            started = ", ".join(f"{name}={getattr(begun, name)}" for name in sorted(changed))
            raise DataError(f"{run_dir} was started with {started}: resume it so, or name another --run-dir")
        return begun
    if run_dir.exists() and any(run_dir.iterdir()):
        raise DataError(f"{run_dir} already holds a run: go on with --resume, or name another --run-dir")
    run_dir.mkdir(parents=True, exist_ok=True)
    kept.write_text(config.model_dump_json(indent=1) + "\n")
    return config
