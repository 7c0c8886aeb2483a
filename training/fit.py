"""`python -m training fit`: train one fold, resumable at any time, into a folder of its own."""

import subprocess
import warnings
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from inference.weights import FoldMetadata, save_fold
from training.config import FitConfig, read_config, write_config
from training.curves import METRICS_DIR, plot_curves
from training.data import DataError, find_cases, read_cases
from training.folds import Split
from training.loading import FoldData
from training.module import BatchStatistics, FoldModule, recompute_batch_statistics
from training.precision import keep_depthwise_in_float32, resolve_precision
from training.tracking import wandb_is_configured

WEIGHTS_FILE = "fold.safetensors"
CHECKPOINTS_KEPT = 2


def fit(config: FitConfig, *, data_dir: Path, split: Split, run_dir: Path, resume: bool = False) -> Path:
    """Train one fold and return the file of its averaged weights, ready to be exported.

    The run's folder receives `config.json`, `metrics/`, `curves.png`, the two newest checkpoints
    and `fold.safetensors`. With `resume` a run that was cut off goes on from its
    newest readable checkpoint, with the configuration that it was started with.
    Raises `DataError` where the data or the run's folder is not as it should be.
    """
    config = _claim(run_dir, config, resume=resume)
    commit = _commit()
    L.seed_everything(config.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision("high")
    cases = find_cases(data_dir)
    training = read_cases(split.training(cases, config.fold))
    data = FoldData(training, read_cases(split.held_out(cases, config.fold)), config)
    module = FoldModule(config)
    precision = resolve_precision(config.precision)
    if precision != "32-true" and not torch.cuda.is_available():
        keep_depthwise_in_float32(module.network)
    trainer = L.Trainer(
        max_epochs=config.epochs,
        precision=precision,
        callbacks=_callbacks(config, data, run_dir),
        logger=_loggers(config, run_dir),
        default_root_dir=run_dir,
        check_val_every_n_epoch=config.validate_every,
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        trainer.fit(module, data, ckpt_path=newest_checkpoint(run_dir) if resume else None)
    recompute_batch_statistics(module.network, data.statistics_batches())
    weights = run_dir / WEIGHTS_FILE
    save_fold(module.network, _metadata(config, split, len(training), trainer.global_step, commit), weights)
    return weights


def newest_checkpoint(run_dir: Path) -> Path | None:
    """Return the newest checkpoint that can be read whole, or None: one may be cut off by a kill."""
    paths = sorted((run_dir / "checkpoints").glob("*.ckpt"), key=lambda path: path.stat().st_mtime)
    for path in reversed(paths):
        try:
            torch.load(path, map_location="meta", weights_only=True)
        except Exception:  # torch.load raises a different type for every kind of damage
            continue
        return path
    return None


def _claim(run_dir: Path, config: FitConfig, *, resume: bool) -> FitConfig:
    if resume:
        if not (run_dir / "config.json").exists():
            raise DataError(f"{run_dir} holds no run to resume: leave out --resume to start it")
        return read_config(run_dir)
    if run_dir.exists() and any(run_dir.iterdir()):
        raise DataError(
            f"{run_dir} already holds a run: add --resume to go on with it, or name another --run-dir"
        )
    run_dir.mkdir(parents=True, exist_ok=True)
    write_config(config, run_dir)
    return config


def _callbacks(config: FitConfig, data: FoldData, run_dir: Path) -> list[Callback]:
    checkpoints = ModelCheckpoint(
        dirpath=run_dir / "checkpoints",
        filename="{epoch:03d}",
        monitor="step",
        mode="max",
        save_top_k=CHECKPOINTS_KEPT,
        every_n_epochs=config.checkpoint_every,
        save_on_train_epoch_end=True,
    )
    averaging = EMAWeightAveraging(decay=config.ema_decay)
    return [averaging, BatchStatistics(data), Curves(run_dir), TQDMProgressBar(refresh_rate=5), checkpoints]


class Curves(Callback):
    """Draws the learning curves anew after every validation."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw what has been logged so far."""
        for logger in trainer.loggers:
            logger.save()
        plot_curves(self.run_dir)


def _loggers(config: FitConfig, run_dir: Path) -> list[Logger]:
    loggers: list[Logger] = [CSVLogger(run_dir, name=METRICS_DIR)]  # a new version for every resumption
    if wandb_is_configured():
        loggers.append(WandbLogger(project="tumor-segmentation", name=run_dir.name, save_dir=run_dir))
        loggers[-1].log_hyperparams(config.model_dump(mode="json"))
    return loggers


def _metadata(config: FitConfig, split: Split, scans: int, steps: int, commit: str | None) -> FoldMetadata:
    training = {
        "config": config.model_dump(mode="json"),
        "split_sha256": split.sha256,
        "scans": scans,
        "steps": steps,
        "commit": commit,
        "torch": torch.__version__,
    }
    return FoldMetadata(fold=config.fold, preparation=config.preparation, training=training)


def _commit() -> str | None:
    found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    return found.stdout.strip() or None
