"""Weights & Biases, where the user has it: what a run logs there, and that its faults cost no training."""

import os
import secrets
import shlex
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import wandb
from lightning.pytorch.loggers import WandbLogger
from loguru import logger

from inference.findings import Mask
from inference.preparation import GreyScan
from inference.settings import read_settings
from training.config import read_run_id, write_run_id

PROJECT = "tumor-segmentation"
START_PATIENCE_S = 30
CLASSES = {1: "tumour"}


def wandb_is_configured() -> bool:
    """Say whether runs are to be logged to Weights & Biases: a key is set, or offline mode asked for."""
    mode = os.environ.get("WANDB_MODE", "")
    return mode == "offline" or (mode != "disabled" and bool(os.environ.get("WANDB_API_KEY")))


@contextmanager
def tracked(run_dir: Path, configuration: Mapping[str, Any]) -> Iterator["RunTracker | None"]:
    """Yield the tracker of the run in a folder; None where W&B is not configured, or broken even offline.

    `configuration` is logged whole. However the run ends, its log is in the folder: what has not
    reached W&B by then can be uploaded later, and the command for it is named.
    """
    tracker = RunTracker(run_dir) if wandb_is_configured() else None
    if tracker is None or not tracker.start(configuration):
        yield None
        return
    exit_code = 1
    try:
        yield tracker
        exit_code = 0
    finally:
        tracker.finish(exit_code)


class RunTracker(WandbLogger):
    """Lightning's W&B logger for the run in a folder; a fault of W&B is a warning, never an error.

    A run that goes on later goes on in the same W&B run: its id is kept in the folder.
    """

    def __init__(self, run_dir: Path) -> None:
        super().__init__(name=run_dir.name, save_dir=run_dir)
        self.run_dir = run_dir
        self._is_broken = False

    def start(self, configuration: Mapping[str, Any]) -> bool:
        """Open the W&B run, offline where W&B does not take it; return whether there is one."""
        try:
            self._open()
        except Exception as error:  # the SDK raises many types, its own and its transports'
            logger.warning("W&B does not take this run ({}): it is logged offline", _reason(error))
            with suppress(Exception):
                wandb.teardown()  # else the id of the run that failed stays in use
            self._attempt(lambda: self._open(mode="offline"))
        self.log_hyperparams(dict(configuration))
        return not self._is_broken

    def _open(self, mode: Literal["offline"] | None = None) -> None:
        patience_s = read_settings().wandb_timeout_s
        settings = wandb.Settings(
            silent=True,
            console="off",
            reinit="create_new",  # whatever other run this process has
            init_timeout=min(START_PATIENCE_S, patience_s),
            finish_timeout=patience_s,
            finish_timeout_raises=True,
        )
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            name=self.run_dir.name,
            dir=self.run_dir,
            id=_run_id(self.run_dir),
            resume="allow",
            mode=mode,
            settings=settings,
        )
        run.define_metric("trainer/global_step")
        run.define_metric("*", step_metric="trainer/global_step", step_sync=True)
        self._experiment = run
        logger.info("logging to W&B{}", " offline" if run.offline else f": {run.url}")

    def log_hyperparams(self, params: dict[str, Any] | Namespace) -> None:
        """Log the configuration."""
        self._attempt(lambda: super(RunTracker, self).log_hyperparams(params))

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Log metrics of a step."""
        self._attempt(lambda: super(RunTracker, self).log_metrics(metrics, step))

    def log_masks(self, name: str, grey: GreyScan, *, label: Mask, mask: Mask, step: int) -> None:
        """Log a scan (H, W) with two masks (H, W, 3), to be shown and hidden in W&B."""
        masks = {
            kind: {"mask_data": pixels[..., 0] // 255, "class_labels": CLASSES}
            for kind, pixels in (("label", label), ("mask", mask))
        }
        self._attempt(lambda: self.log_image(name, [grey], step=step, masks=[masks]))

    def finish(self, exit_code: int) -> None:
        """Close the W&B run; where not all of it has reached W&B, say how to upload it."""
        run = self.experiment
        self._attempt(lambda: run.finish(exit_code=exit_code))
        if self._is_broken:
            with suppress(Exception):
                wandb.teardown()  # else the SDK does it at exit, where a fault of its service is a traceback
        folder = shlex.quote(str(self.run_dir / "wandb"))
        if run.offline:
            logger.info("to upload this run to W&B: uv run wandb sync {}", folder)
        elif self._is_broken:
            logger.warning(
                "not all of this run has reached W&B; to upload it: uv run wandb sync --include-online {}",
                folder,
            )

    def _attempt(self, action: Callable[[], object]) -> None:
        """Do something with W&B; after its first fault it is left alone."""
        if self._is_broken:
            return
        try:
            action()
        except Exception as error:  # the SDK raises many types, its own and its transports'
            self._is_broken = True
            logger.warning("W&B failed ({}): the training goes on without it", _reason(error))


def _run_id(run_dir: Path) -> str:
    known = read_run_id(run_dir) or secrets.token_hex(4)
    write_run_id(known, run_dir)
    return known


def _reason(error: Exception) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
