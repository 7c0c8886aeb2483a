"""What the W&B SDK's errors mean, in a sentence that says what to do."""

import errno
import os
from typing import Any

from inference.artifact_names import ArtifactName

KEY_PAGE = "https://wandb.ai/authorize"
UNWRITABLE = (errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS)


class RefusalError(Exception):
    """The artifact is not one that can be served; the message says why."""


def explain(error: Exception, name: ArtifactName) -> dict[str, Any]:
    """Turn what the SDK raised into a sentence, and say whether W&B just could not be reached.

    The SDK raises many types, its own and its transports': what tells them apart is the HTTP status
    of the answer that caused them.
    """
    host = os.environ.get("WANDB_BASE_URL") or "https://api.wandb.ai"
    detail = _detail(error)
    status = _status(error)
    of_file = isinstance(error, OSError)  # as those of the transport of files are
    unreachable = False
    if isinstance(error, RefusalError):
        sentence = str(error)
    elif isinstance(error, OSError) and error.errno in UNWRITABLE:
        sentence = (
            f"the artifact {name} cannot be written ({detail}): set MODEL_CACHE_DIR to a folder with room"
        )
    elif "WANDB_API_KEY invalid" in detail:
        sentence = f"the key in WANDB_API_KEY is no W&B key ({detail}): take one from {KEY_PAGE}"
    elif status == 401 and not of_file:
        sentence = f"{host} refuses the key in WANDB_API_KEY ({detail}): take a valid one from {KEY_PAGE}"
    elif status in (401, 403):
        sentence = f"the key in WANDB_API_KEY may not read the artifact {name} (HTTP {status}): use another"
    elif status == 404 and of_file:
        sentence = f"the artifact {name} is listed, but its file is missing (HTTP 404): publish it again"
    elif status == 404:
        sentence = f"{host} does not answer as W&B does (HTTP 404): correct WANDB_BASE_URL, or leave it out"
    elif "not found" in detail:
        sentence = (
            f"there is no artifact {name} that the key in WANDB_API_KEY may read ({detail}): check its name"
        )
    elif of_file:
        unreachable = True
        sentence = f"the download of the artifact {name} broke off: check the network, and start again"
    else:
        unreachable = True
        sentence = (
            f"{host} cannot be asked for the artifact {name} ({detail}): check the network, and start again"
        )
    return {"error": sentence, "unreachable": unreachable}


def _detail(error: BaseException) -> str:
    """Return what the first of a chain of errors says, without the tale of the attempts before the last."""
    while error.__cause__ is not None:
        error = error.__cause__
    text = str(error).strip() or type(error).__name__
    if "did not respond in time" in text:
        return "no answer"
    return text.splitlines()[-1].removeprefix("while retrying: ")


def _status(error: BaseException | None) -> int | None:
    """Return the HTTP status of the answer that an error, or one that caused it, came with."""
    while error is not None:
        response = getattr(error, "response", None)
        for attribute in ("status_code", "http_status"):
            status = getattr(response, attribute, 0)
            if isinstance(status, int) and status:
                return status
        error = error.__cause__ or error.__context__
    return None
