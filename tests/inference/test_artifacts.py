"""Artifacts from a server in W&B's place, by the real SDK, each in its process."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from inference.artifacts import fetch_artifacts
from inference.errors import WeightsError
from inference.settings import Settings
from tests.conftest import plain_settings
from tests.wandb_server import API_KEY, NO_FAULT, Fault, WandbServer
from tests.wandb_store import StoredArtifact

NAME = "team/project/fold0"
CONTENT = bytes(range(256)) * 4096  # a megabyte
SOON_S = 60
"""Long before the SDK's own retries end, on a machine that is busy with other things."""


@pytest.fixture
def settings(cloud: WandbServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that ask the server for `NAME:v0`, with one retry of the SDK's."""
    for name, value in cloud.environment(tmp_path / "home").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_X_GRAPHQL_RETRY_MAX", "1")
    return plain_settings(
        model_artifacts=(f"{NAME}:v0",),
        model_cache_dir=tmp_path / "cache",
        wandb_api_key=API_KEY,
        wandb_timeout_s=SOON_S,
    )


@pytest.fixture
def log() -> Iterator[list[str]]:
    """What is logged, a line each."""
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), format="{level} {message}")
    yield lines
    logger.remove(sink)


def asking_for(settings: Settings, *names: str, **changes: object) -> Settings:
    return settings.model_copy(update={"model_artifacts": names, **changes})


def published(cloud: WandbServer, name: str = NAME, content: bytes = CONTENT) -> StoredArtifact:
    return cloud.store.add_artifact(name, {"fold.pth": content, "notes.md": b"none"})


def kept(settings: Settings) -> list[str]:
    """Return the files in the cache, by their names."""
    return sorted(path.name for path in settings.model_cache_dir.rglob("*") if path.is_file())


def test_artifacts_come_side_by_side_and_in_their_order(
    cloud: WandbServer, settings: Settings, log: list[str]
) -> None:
    first, second = published(cloud), published(cloud, "team/project/fold2", CONTENT[::-1])
    names = [second.full_name, f"{NAME}:latest"]
    found = fetch_artifacts(asking_for(settings, *names))
    assert [checkpoint.path.read_bytes() for checkpoint in found] == [CONTENT[::-1], CONTENT]
    assert [checkpoint.artifact.name for checkpoint in found] == [second.full_name, first.full_name]
    assert all(checkpoint.artifact.digest in str(checkpoint.path) for checkpoint in found)
    asked = [number for number, line in enumerate(log) if "asking W&B for" in line]
    brought = [number for number, line in enumerate(log) if "1.0 MB in" in line]
    assert len(asked) == len(brought) == 2
    assert max(asked) < min(brought)
    assert not cloud.store.runs
    assert "notes.md" not in kept(settings)
    cloud.close()  # what is pinned needs neither server nor key from here on
    again = asking_for(settings, first.full_name, second.full_name, wandb_api_key=None)
    assert [checkpoint.path for checkpoint in fetch_artifacts(again)] == [found[1].path, found[0].path]
