"""Publish folds to Weights & Biases, by a process apart that is given a deadline."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from inference.errors import SegmentationError, SettingsError
from inference.settings import Settings
from inference.weights.download_process import FEW_RETRIES
from training.publishing.artifact_contents import Publication, write_publication
from training.publishing.wandb_upload import Answer, Folder, Order

UPLOADER = "training.publishing.wandb_upload"
PROJECT_DIR = Path(__file__).parents[2]


class PublishingError(SegmentationError):
    """W&B has not taken the folds; the message says why and what to do."""


def publish(
    publications: Sequence[Publication], *, project: str, aliases: Sequence[str], settings: Settings
) -> tuple[str, ...]:
    """Log every fold as an artifact of type `model`, and return their names as `MODEL_ARTIFACTS` takes them.

    `project` is `entity/project`. A fold that W&B has already, byte for byte, keeps its version.
    Raises `SettingsError` without a key, `PublishingError` where W&B does not take them, or not all
    within `WANDB_TIMEOUT_S`.
    """
    entity, _, name = project.partition("/")
    if not entity or not name or "/" in name:
        raise SettingsError(
            f"--project {project} is not ENTITY/PROJECT: name a W&B user or team, and its project"
        )
    if settings.wandb_api_key is None:
        raise SettingsError(
            "WANDB_API_KEY is not set: set it to the key of an account that may write to the project"
        )
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        folders = []
        for number, publication in enumerate(publications):
            path = Path(scratch) / str(number)
            write_publication(publication, path)
            folders.append(Folder(name=publication.name, path=path, metadata=publication.metadata))
        order = Order(
            entity=entity,
            project=name,
            aliases=tuple(aliases),
            folders=tuple(folders),
            timeout_s=settings.wandb_timeout_s,
        )
        answer = _upload(order, settings.wandb_api_key.get_secret_value(), Path(scratch))
    if answer.error is not None:
        raise PublishingError(answer.error)
    return answer.names


def _upload(order: Order, key: str, scratch: Path) -> Answer:
    order_file, answer_file = scratch / "order.json", scratch / "answer.json"
    order_file.write_text(order.model_dump_json())
    own = {"WANDB_API_KEY": key, "WANDB_SILENT": "true"}
    folders = {f"WANDB_{use}_DIR": str(scratch / "wandb") for use in ("CACHE", "DATA", "ARTIFACT")}
    try:
        subprocess.run(
            [sys.executable, "-m", UPLOADER, order_file, answer_file],
            cwd=PROJECT_DIR,
            env={**FEW_RETRIES, **os.environ, **own, **folders},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=order.timeout_s,
            check=True,
        )
        return Answer.model_validate_json(answer_file.read_text())
    except subprocess.TimeoutExpired:
        return Answer(
            error=f"the folds were not published within WANDB_TIMEOUT_S={order.timeout_s:g} seconds: check "
            "the network, or allow more, and publish again"
        )
    except (subprocess.CalledProcessError, OSError, ValidationError) as error:
        return Answer(error=f"the upload broke off ({error}): publish again")
