"""Folders as W&B artifacts, uploaded in a process of its own: `python -m training.publishing.wandb_upload`.

The SDK retries for minutes, and its service can keep a process from ending; a process apart can be
ended at any time.
"""

import os
import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel

START_PATIENCE_S = 30
KEY_PAGE = "https://wandb.ai/authorize"
TRIED_AGAIN = ("while retrying", "giving up", "deadline exceeded", "timed out")


class Folder(BaseModel):
    """A folder that becomes an artifact, and what W&B is to know of it."""

    name: str
    path: Path
    metadata: dict[str, Any]


class Order(BaseModel):
    """What is to be uploaded, to where, and within how many seconds."""

    entity: str
    project: str
    aliases: tuple[str, ...]
    folders: tuple[Folder, ...]
    timeout_s: float


class Answer(BaseModel):
    """The artifacts' full names with their versions, or why there are none."""

    names: tuple[str, ...] = ()
    error: str | None = None


def upload(order: Order, scratch: Path) -> Answer:
    """Log every folder as an artifact of type `model`, all in one run of the project."""
    import wandb

    settings = wandb.Settings(
        silent=True,
        console="off",
        init_timeout=min(START_PATIENCE_S, order.timeout_s / 2),
        x_disable_stats=True,
    )
    try:
        with wandb.init(
            entity=order.entity,
            project=order.project,
            job_type="publish",
            mode="online",
            dir=scratch,
            settings=settings,
        ) as run:
            logged = []
            for folder in order.folders:
                artifact = wandb.Artifact(folder.name, type="model", metadata=folder.metadata)
                artifact.add_dir(str(folder.path), policy="immutable", skip_cache=True)
                logged.append(run.log_artifact(artifact, aliases=["latest", *order.aliases]))
            return Answer(names=tuple(artifact.wait().qualified_name for artifact in logged))
    except Exception as error:  # the SDK raises many types, its own and its transports'
        return Answer(error=explain(str(error).strip() or type(error).__name__, order))


def explain(detail: str, order: Order) -> str:
    """Turn what the SDK says into a sentence that says what to do.

    It tries again what a server or the network fails at, and says so; of what W&B refuses it gives
    W&B's own words.
    """
    host = os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
    place = f"{order.entity}/{order.project}"
    last = detail.splitlines()[-1].removeprefix("while retrying: ")
    if any(words in detail for words in TRIED_AGAIN):
        return f"{host} cannot be asked to publish to {place} ({last}): check the network, and publish again"
    if "WANDB_API_KEY invalid" in detail:
        return f"the key in WANDB_API_KEY is no W&B key ({last}): take one from {KEY_PAGE}"
    if "not logged in" in detail or "401" in detail:
        return f"{host} refuses the key in WANDB_API_KEY ({last}): take a valid one from {KEY_PAGE}"
    return f"{host} does not let this key publish to {place} ({last}): correct --project, or use another key"


def main(order_file: str, answer_file: str) -> None:
    """Carry out an order, write the answer as JSON, and end without the SDK's exit hooks."""
    order = Order.model_validate_json(Path(order_file).read_text())
    answer = upload(order, Path(order_file).parent)
    Path(answer_file).write_text(answer.model_dump_json())
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
