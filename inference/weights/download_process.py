"""A download that is watched: progress in the log, a deadline, an outcome in one sentence."""

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from loguru import logger

from inference.artifact_names import ArtifactName
from inference.errors import WeightsError
from inference.settings import Settings
from inference.weights.artifact_cache import Artifact, ArtifactCache

DOWNLOADER = f"{__package__}.wandb_download"
PROJECT_DIR = Path(__file__).parents[2]
FILES_DIR = "files"
SDK_DIR = "wandb"
REPORT_FILE = "report.jsonl"
SDK_FOLDERS = ("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR")
PROGRESS_S = 5
MEGABYTE = 1e6
FEW_RETRIES = {
    "WANDB_X_GRAPHQL_RETRY_MAX": "3",
    "WANDB_X_GRAPHQL_RETRY_WAIT_MIN_SECONDS": "1",
    "WANDB_X_GRAPHQL_RETRY_WAIT_MAX_SECONDS": "4",
}
"""So that the SDK says what is wrong with a server, and does not ask it again for an hour."""


class UnreachableError(WeightsError):
    """W&B could not be reached, or not for long enough: what is in the cache may do instead."""


class Download:
    """One artifact's download in a process apart, which ends with the stack that it is opened on."""

    def __init__(
        self, name: ArtifactName, settings: Settings, cache: ArtifactCache, stack: ExitStack
    ) -> None:
        self.name = name
        self.cache = cache
        self.timeout_s = settings.wandb_timeout_s
        self.artifact: Artifact | None = None
        self._scratch = stack.enter_context(cache.scratch(settings.wandb_timeout_s))
        self._lines_read = 0
        self._last: dict[str, Any] = {}
        self._started = self._told = time.monotonic()
        logger.info("asking W&B for {}", name)
        cache_dir = settings.model_cache_dir.resolve()
        self._process = subprocess.Popen(
            [sys.executable, "-m", DOWNLOADER, str(name), str(cache_dir), str(self._scratch)],
            cwd=PROJECT_DIR,
            env=_environment(settings, self._scratch),
            stdin=subprocess.PIPE,  # by whose end the process knows that this one is gone
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        stack.callback(self._end)

    def has_ended(self) -> bool:
        """Say whether the process has ended; log what there is to say of it until then."""
        ended = self._process.poll() is not None
        for line in self._news():
            if "found" in line:
                self._take(Artifact.model_validate(line["found"]))
        now = time.monotonic()
        if self.artifact is not None and not ended and now - self._told > PROGRESS_S:
            self._told = now
            logger.info("{}: {}", self.artifact.name, self._progress(self.artifact))
        return ended

    def result(self) -> Artifact:
        """Return the artifact, its files verified and in the cache; raises `WeightsError` for any reason."""
        ended = self.has_ended()
        end = self._last if ended else {"error": self._lateness(), "unreachable": True}
        if "error" in end:
            raise (UnreachableError if end["unreachable"] else WeightsError)(end["error"])
        if self.artifact is None or "done" not in end:
            raise WeightsError(
                f"the download of the artifact {self.name} ended with status {self._process.returncode}: "
                "make sure that 1 GB of memory is free, and start again"
            )
        downloaded = self._scratch / FILES_DIR
        if downloaded.exists():
            self.cache.keep(self.artifact, downloaded)
            seconds = time.monotonic() - self._started
            logger.info(
                "{}: {:.1f} MB in {:.1f} s, verified",
                self.artifact.name,
                self.artifact.size / MEGABYTE,
                seconds,
            )
        return self.artifact

    def _take(self, artifact: Artifact) -> None:
        self.artifact, self._told = artifact, time.monotonic()
        has = "which is in the cache" if self.cache.holds(artifact) else f"{artifact.size / MEGABYTE:.1f} MB"
        logger.info("{} is {}, {}", self.name, artifact.name, has)

    def _news(self) -> list[dict[str, Any]]:
        try:
            lines = (self._scratch / REPORT_FILE).read_text().split("\n")[:-1]  # the last may be half written
        except FileNotFoundError:
            return []
        news: list[dict[str, Any]] = [json.loads(line) for line in lines[self._lines_read :]]
        self._lines_read = len(lines)
        self._last = news[-1] if news else self._last
        return news

    def _progress(self, artifact: Artifact) -> str:
        came = 0
        for path in self._scratch.rglob("*"):
            with suppress(OSError):  # the SDK renames what has come whole
                came += path.stat().st_size if path.is_file() and SDK_DIR not in path.parts else 0
        return f"{min(came, artifact.size) / MEGABYTE:.1f} of {artifact.size / MEGABYTE:.1f} MB have come"

    def _lateness(self) -> str:
        state = self._progress(self.artifact) if self.artifact else "W&B has not answered"
        return (
            f"the artifact {self.name} was not downloaded within WANDB_TIMEOUT_S={self.timeout_s:g} seconds "
            f"({state}): check the network, or allow more"
        )

    def _end(self) -> None:
        self._process.kill()  # the SDK's own process ends when it sees this one gone
        self._process.wait()
        assert self._process.stdin is not None
        self._process.stdin.close()


def _environment(settings: Settings, scratch: Path) -> dict[str, str]:
    """Return a download's environment: this one's, the key, and where the SDK may write."""
    assert settings.wandb_api_key is not None
    own = {
        "WANDB_API_KEY": settings.wandb_api_key.get_secret_value(),
        "WANDB_MODE": "online",
        "WANDB_SILENT": "true",
    }
    folders = {name: str(scratch / SDK_DIR) for name in SDK_FOLDERS}
    return {**FEW_RETRIES, **os.environ, **own, **folders}
