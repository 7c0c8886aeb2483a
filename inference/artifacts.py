"""Fold weights from Weights & Biases: `MODEL_ARTIFACTS` names them, the public API fetches them."""

import os
from pathlib import Path

from loguru import logger

from inference.errors import WeightsError
from inference.settings import Settings

CHECKPOINT_SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")


def download_artifacts(settings: Settings) -> list[Path]:
    """Download the artifacts that the settings name, and return each one's checkpoint file.

    Raises `WeightsError` where there is no key, an artifact cannot be fetched, or one holds no
    checkpoint or several.
    """
    if settings.wandb_api_key is None:
        raise WeightsError(
            "MODEL_ARTIFACTS is set but WANDB_API_KEY is not: set the key, or leave MODEL_ARTIFACTS empty "
            f"to start with the folds in {settings.models_dir}"
        )
    return [_download(name, settings) for name in settings.model_artifacts]


def _download(name: str, settings: Settings) -> Path:
    assert settings.wandb_api_key is not None
    os.environ.setdefault("WANDB_SILENT", "true")
    import wandb  # slow to import, and only needed here

    logger.info("downloading {}", name)
    try:
        artifact = wandb.Api(api_key=settings.wandb_api_key.get_secret_value()).artifact(name)
        folder = settings.model_cache_dir / artifact.digest
        artifact.download(root=str(folder))
    except Exception as error:  # the SDK raises many types, its own and its transports'
        reason = str(error).strip().partition("\n")[0] or type(error).__name__
        raise WeightsError(f"the artifact {name} cannot be downloaded: {reason}") from None
    return _only_checkpoint(name, folder)


def _only_checkpoint(name: str, folder: Path) -> Path:
    checkpoints = sorted(path for path in folder.rglob("*") if path.suffix in CHECKPOINT_SUFFIXES)
    if len(checkpoints) != 1:
        found = ", ".join(path.name for path in checkpoints) or "none"
        raise WeightsError(f"the artifact {name} must hold exactly one checkpoint, but holds {found}")
    return checkpoints[0]
