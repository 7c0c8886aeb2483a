"""`python -m training fit`: train one fold, resumable at any time, into a folder of its own."""

import subprocess
import warnings
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback, EMAWeightAveraging, ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger, Logger
from loguru import logger

from inference.weights.checkpoints import load_network, save_fold
from inference.weights.fold_file import FoldFile, FoldMetadata, read_fold
from training.config import WEIGHTS_FILE, FitConfig, read_config, write_config
from training.fitting.curves import METRICS_DIR, plot_curves
from training.fitting.examples import ExampleMasks, phantom_examples, scan_examples
from training.fitting.loading import FoldData
from training.fitting.module import BatchStatistics, FoldModule, recompute_batch_statistics
from training.fitting.precision import keep_depthwise_in_float32, resolve_precision
from training.fitting.tracking import RunTracker, tracked
from training.scans.dataset import DataError, find_cases, read_cases
from training.scans.folds import Split, read_split, trained_fold, write_split

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
    started_from = _start_from(config.start_from, module, config, split) if config.start_from else None
    origin = _origin(split, data, started_from)
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


def _start_from(path: Path, module: FoldModule, config: FitConfig, split: Split) -> FoldFile:
    """Give the network a fold's weights to start from, and return that fold.

    `path` is a file, or a folder of runs or of exported folds. Only weights of the same fold and split will
    do: any others have seen scans that are held out here.
    """
    path = _weights_of(path, config.fold)
    fold = read_fold(path)
    if trained_fold(fold.metadata, split) != config.fold:
        raise DataError(
            f"{path} was trained on scans that fold {config.fold} holds out: start from that fold"
        )
    module.network.load_state_dict(load_network(fold).state_dict())
    return fold


def _weights_of(path: Path, fold: int) -> Path:
    """Return the file of a fold's weights that `path` is, or that is in it."""
    if not path.is_dir():
        return path
    inside = [path / f"fold{fold}" / WEIGHTS_FILE, path / f"fold{fold}.safetensors"]
    found = next((weights for weights in inside if weights.exists()), None)
    if found is None:
        raise DataError(
            f"{path} has neither {inside[0].relative_to(path)} nor {inside[1].name} to start from"
        )
    return found


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


def _origin(split: Split, data: FoldData, started_from: FoldFile | None) -> dict[str, Any]:
    """Return where the weights come from, beyond their configuration, through all runs before this one."""
    return {
        "split_sha256": split.sha256,
        "patients": len(data.training.patients),
        "controls": len(data.training.controls),
        "start_from_sha256": started_from.sha256 if started_from else None,
        "start_from_training": started_from.metadata.training if started_from else None,
        "commit": _commit(),
        "torch": torch.__version__,
    }


def _commit() -> str | None:
    """Return the git commit of this code, marked where files differ from it; None outside a checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
