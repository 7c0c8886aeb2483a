"""Fold weights from Weights & Biases: `MODEL_ARTIFACTS` names them, a process apart fetches each."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from loguru import logger

from inference.artifact_names import ArtifactName, parse_artifact_name
from inference.errors import WeightsError
from inference.settings import Settings
from inference.weights.artifact_cache import Artifact, ArtifactCache
from inference.weights.download_process import Download, UnreachableError

POLL_S = 0.1


@dataclass(frozen=True)
class CachedCheckpoint:
    """A checkpoint in the cache, and the artifact that it is of."""

    path: Path
    artifact: Artifact


def fetch_artifacts(settings: Settings) -> list[CachedCheckpoint]:
    """Return the checkpoints of the artifacts that the settings name, downloaded where need be.

    A version by number that is in the cache is taken from there without a question; `latest` and
    other aliases are asked for, and taken from the cache where W&B cannot be reached.
    Raises `WeightsError` where there is no key, an artifact cannot be had, all together take longer
    than `WANDB_TIMEOUT_S`, or one holds no checkpoint or several.
    """
    cache = ArtifactCache(settings.model_cache_dir)
    names = [parse_artifact_name(name) for name in settings.model_artifacts]
    found = {name: cache.find(name) for name in names if name.is_pinned}
    missing = [name for name in names if found.get(name) is None]
    if missing:
        found |= _download_all(missing, settings, cache)
    checkpoints = []
    for name in names:
        artifact = found[name]
        assert artifact is not None
        if name not in missing:
            logger.info("{} is in the cache", name)
        checkpoints.append(CachedCheckpoint(cache.checkpoint(artifact), artifact))
    return checkpoints


def _download_all(
    names: Sequence[ArtifactName], settings: Settings, cache: ArtifactCache
) -> dict[ArtifactName, Artifact]:
    if settings.wandb_api_key is None:
        raise WeightsError(
            f"MODEL_ARTIFACTS names {names[0]}, but WANDB_API_KEY is not set: set the key, or leave "
            f"MODEL_ARTIFACTS empty to start with the folds in {settings.models_dir}"
        )
    started = time.monotonic()
    found: dict[ArtifactName, Artifact] = {}
    try:
        cache.clear_partial()
        with ExitStack() as stack:
            running = [Download(name, settings, cache, stack) for name in names]
            while running:
                time.sleep(POLL_S)
                late = time.monotonic() - started > settings.wandb_timeout_s
                for download in [each for each in running if late or each.has_ended()]:
                    found[download.name] = _settle(download, cache)
                    running.remove(download)
    except OSError as error:
        raise WeightsError(
            f"{settings.model_cache_dir} cannot be written ({error.strerror or error}): set MODEL_CACHE_DIR "
            "to a folder that can"
        ) from None
    return found


def _settle(download: Download, cache: ArtifactCache) -> Artifact:
    """Return what a download has brought, or what the cache has where W&B cannot be reached."""
    try:
        artifact = download.result()
    except UnreachableError as error:
        kept = None if download.name.is_pinned else cache.find(download.name)
        if kept is None:
            raise
        logger.warning("{}; starting with {} from the cache, which it stood for last", error, kept.name)
        return kept
    for name in (download.name, parse_artifact_name(artifact.name)):
        cache.note(name, artifact)
    return artifact
