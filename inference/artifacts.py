"""Fold weights from Weights & Biases: `MODEL_ARTIFACTS` names them, a process apart fetches each."""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loguru import logger

from inference.errors import WeightsError
from inference.settings import Settings

CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
DOWNLOADER = "inference.wandb_download"
PROJECT_DIR = Path(__file__).parent.parent


def download_artifacts(settings: Settings) -> list[Path]:
    """Download the artifacts that the settings name, and return each one's checkpoint file.

    Raises `WeightsError` where there is no key, an artifact cannot be fetched, all together take
    longer than `WANDB_TIMEOUT_S`, or one holds no checkpoint or several.
    """
    if settings.wandb_api_key is None:
        raise WeightsError(
            "MODEL_ARTIFACTS is set but WANDB_API_KEY is not: set the key, or leave MODEL_ARTIFACTS empty "
            f"to start with the folds in {settings.models_dir}"
        )
    deadline = time.monotonic() + settings.wandb_timeout_s
    return [_download(name, settings, deadline) for name in settings.model_artifacts]


def _download(name: str, settings: Settings, deadline: float) -> Path:
    assert settings.wandb_api_key is not None
    own = {"WANDB_API_KEY": settings.wandb_api_key.get_secret_value(), "WANDB_SILENT": "true"}
    logger.info("downloading {}", name)
    with tempfile.TemporaryDirectory() as scratch:
        answer_file = Path(scratch) / "answer.json"
        command = [
            sys.executable,
            "-m",
            DOWNLOADER,
            name,
            str(settings.model_cache_dir.resolve()),
            str(answer_file),
        ]
        try:
            subprocess.run(
                command,
                cwd=PROJECT_DIR,
                env={**os.environ, **own},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=max(0, deadline - time.monotonic()),
                check=True,
            )
            answer = json.loads(answer_file.read_text())
        except subprocess.TimeoutExpired:
            raise WeightsError(
                f"the artifact {name} was not downloaded within WANDB_TIMEOUT_S={settings.wandb_timeout_s:g} "
                "seconds: check the network, or allow more"
            ) from None
        except subprocess.CalledProcessError as error:
            answer = {"error": f"the download ended with status {error.returncode}"}
    if "error" in answer:
        raise WeightsError(f"the artifact {name} cannot be downloaded: {answer['error']}")
    return _only_checkpoint(name, Path(answer["folder"]))


def _only_checkpoint(name: str, folder: Path) -> Path:
    checkpoints = sorted(path for path in folder.rglob("*") if path.suffix in CHECKPOINT_SUFFIXES)
    if len(checkpoints) != 1:
        found = ", ".join(path.name for path in checkpoints) or "none"
        raise WeightsError(f"the artifact {name} must hold exactly one checkpoint, but holds {found}")
    return checkpoints[0]
