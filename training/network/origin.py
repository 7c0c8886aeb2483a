"""Where a network's weights come from: the fold that a run starts from, and what its file says of that."""

import subprocess
from pathlib import Path
from typing import Any

import torch
from torch import nn

from inference.weights.checkpoints import load_network
from inference.weights.fold_file import FoldFile, read_fold
from training.config import WEIGHTS_FILE
from training.scans.dataset import DataError
from training.scans.folds import Split, trained_fold


def start_from(path: Path, network: nn.Module, fold: int, split: Split) -> FoldFile:
    """Give the network a fold's weights to start from, and return that fold.

    `path` is a file, or a folder of runs or of exported folds. Only weights of the same fold and split will
    do: any others have seen scans that are held out here. Raises `DataError` for those.
    """
    path = _weights_of(path, fold)
    found = read_fold(path)
    if trained_fold(found.metadata, split) != fold:
        raise DataError(f"{path} was trained on scans that fold {fold} holds out: start from that fold")
    network.load_state_dict(load_network(found).state_dict())
    return found


def describe_origin(
    split: Split, *, patients: int, controls: int, started_from: FoldFile | None
) -> dict[str, Any]:
    """Return where weights come from, beyond their configuration, through all runs before this one."""
    return {
        "split_sha256": split.sha256,
        "patients": patients,
        "controls": controls,
        "start_from_sha256": started_from.sha256 if started_from else None,
        "start_from_training": started_from.metadata.training if started_from else None,
        "commit": _commit(),
        "torch": torch.__version__,
    }


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


def _commit() -> str | None:
    """Return the git commit of this code, marked where files differ from it; None outside a checkout."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return found.stdout.strip()
