"""`python -m training fit`: train one fold, resumable at any time, into a folder of its own."""

import warnings
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger
from loguru import logger

from inference.weights.checkpoints import save_fold
from inference.weights.fold_file import FoldMetadata
from training.config import WEIGHTS_FILE, FitConfig, read_config, write_config
from training.fitting.curves import METRICS_DIR, plot_curves
from training.fitting.examples import ExampleMasks, phantom_examples, scan_examples
from training.fitting.loading import FoldData
from training.fitting.module import BatchStatistics, FoldModule
from training.fitting.precision import keep_depthwise_in_float32, resolve_precision
from training.fitting.tracking import RunTracker, tracked
from training.network.batch_statistics import recompute_batch_statistics
from training.network.origin import describe_origin, start_from
from training.scans.dataset import DataError, find_cases, read_cases
from training.scans.folds import Split, read_split, write_split

SPLIT_COPY = "folds.json"
CHECKPOINTS_KEPT = 2


def fit(
    config: FitConfig,
    *,
    data_dir: Path,
    split: Split,
    run_dir: Path,
    resume: bool = False,
    log_scans: bool = False,
) -> Path:
    """Train one fold and return the file of its averaged weights, ready to be exported.

    The run's folder receives `config.json`, the split, `metrics/`, `curves.png`, `examples/`, the two
    newest checkpoints and `fold.safetensors`. With `resume` a run that was cut off goes on from its
    newest readable checkpoint, with the configuration that it was started with. Where Weights &
    Biases is configured, the run is logged there too. The examples are phantoms; `log_scans` allows
    that held-out scans are among them, and so leave for W&B.
    Raises `DataError` where the data or the run's folder is not as it should be.
    """
    if resume:
        config = _reopen(run_dir, config, split)
        if (run_dir / WEIGHTS_FILE).exists():
            logger.info("{} is finished: there is nothing to resume", run_dir)
            return run_dir / WEIGHTS_FILE
    elif run_dir.exists() and any(run_dir.iterdir()):
        raise DataError(f"{run_dir} already holds a run: go on with --resume, or name another --run-dir")
    data = _read_data(config, data_dir, split)
    if not resume:
        run_dir.mkdir(parents=True, exist_ok=True)
        write_config(config, run_dir)
        write_split(split, run_dir / SPLIT_COPY)
    L.seed_everything(config.seed, workers=True, verbose=False)
    torch.set_float32_matmul_precision("high")
    module = FoldModule(config)
    started_from = None
    if config.start_from is not None:
        started_from = start_from(config.start_from, module.network, config.fold, split)
    patients, controls = len(data.training.patients), len(data.training.controls)
    origin = describe_origin(split, patients=patients, controls=controls, started_from=started_from)
    with tracked(run_dir, config.model_dump(mode="json") | origin) as tracker:
        shown = phantom_examples() + (scan_examples(data.held_out_patients) if log_scans else [])
        examples = ExampleMasks(shown, run_dir, tracker)
        steps = _train(module, data, run_dir, examples, tracker, resume=resume)
        weights = run_dir / WEIGHTS_FILE
        training = {"config": config.model_dump(mode="json"), "steps": steps} | origin
        metadata = FoldMetadata(fold=config.fold, preparation=config.preparation, training=training)
        save_fold(module.network, metadata, weights)
        examples.draw(module, steps)
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


class Averaging(EMAWeightAveraging):
    """An exponential moving average of the weights, which a run ends with however it ends.

    Lightning takes the average over at the end of training, which a run resumed after its last
    epoch never comes to.
    """

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Leave the averaged weights in the module."""
        self._copy_average_to_current(pl_module)


class Curves(Callback):
    """Draws the learning curves anew after every validation, and at the end."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw what has been logged so far."""
        self._draw(trainer)

    def on_fit_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Draw the last epoch too."""
        self._draw(trainer)

    def _draw(self, trainer: L.Trainer) -> None:
        for metrics in trainer.loggers:
            metrics.save()
        plot_curves(self.run_dir)


def _reopen(run_dir: Path, wanted: FitConfig, split: Split) -> FitConfig:
    """Return the configuration of a run that is to go on; what is asked for by name must agree with it."""
    if not (run_dir / "config.json").exists():
        raise DataError(f"{run_dir} holds no run to resume: leave out --resume to start it")
    config = read_config(run_dir)
    changed = [name for name in wanted.model_fields_set if getattr(wanted, name) != getattr(config, name)]
    if changed:
        started = ", ".join(f"{name}={getattr(config, name)}" for name in sorted(changed))
        raise DataError(f"{run_dir} was started with {started}: resume it so, or name another --run-dir")
    if read_split(run_dir / SPLIT_COPY).sha256 != split.sha256:
        raise DataError(f"{run_dir} was started with another split: name {run_dir / SPLIT_COPY} with --split")
    return config


def _read_data(config: FitConfig, data_dir: Path, split: Split) -> FoldData:
    cases = find_cases(data_dir)
    training = read_cases(split.training(cases, config.fold))
    data = FoldData(training, read_cases(split.held_out(cases, config.fold)), config)
    patients, controls = len(data.training.patients), len(data.training.controls)
    logger.info("fold {}: training on {} patients and {} controls", config.fold, patients, controls)
    return data


def _train(
    module: FoldModule,
    data: FoldData,
    run_dir: Path,
    examples: ExampleMasks,
    tracker: RunTracker | None,
    *,
    resume: bool,
) -> int:
    """Train to the end, leave the averaged weights in the module, and return the number of steps."""
    config = module.config
    precision = resolve_precision(config.precision)
    if precision != "32-true" and not torch.cuda.is_available():
        keep_depthwise_in_float32(module.network)
    metrics: Logger = CSVLogger(run_dir, name=METRICS_DIR)  # a new version for every resumption
    trainer = L.Trainer(
        max_epochs=config.epochs,
        precision=precision,
        callbacks=[examples, *_callbacks(config, data, run_dir)],
        logger=[metrics, tracker] if tracker else metrics,
        default_root_dir=run_dir,
        check_val_every_n_epoch=min(config.validate_every, config.epochs),
        num_sanity_val_steps=0,
        log_every_n_steps=1,
        enable_model_summary=False,
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        checkpoint = newest_checkpoint(run_dir) if resume else None
        trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    module.to(trainer.strategy.root_device)
    recompute_batch_statistics(module.network, data.statistics_batches())
    return int(trainer.global_step)


def _callbacks(config: FitConfig, data: FoldData, run_dir: Path) -> list[Callback]:
    checkpoints = ModelCheckpoint(
        dirpath=run_dir / "checkpoints",
        filename="{epoch:03d}",
        monitor="step",
        mode="max",
        save_top_k=CHECKPOINTS_KEPT,
        every_n_epochs=min(config.checkpoint_every, config.epochs),
        save_on_train_epoch_end=True,
    )
    averaging = Averaging(decay=config.ema_decay)
    return [averaging, BatchStatistics(data), Curves(run_dir), TQDMProgressBar(refresh_rate=5), checkpoints]
