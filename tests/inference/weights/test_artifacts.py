"""Artifacts from a server in W&B's place, by the real SDK, each in its process."""

import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from loguru import logger
from pydantic import SecretStr

from inference.errors import WeightsError
from inference.settings import Settings
from inference.weights.artifacts import fetch_artifacts
from tests.conftest import ROOT, environment, plain_settings
from tests.stand_ins.wandb_server import API_KEY, NO_FAULT, Fault, WandbServer
from tests.stand_ins.wandb_store import StoredArtifact

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


def fails(settings: Settings) -> str:
    """Return the one sentence with which a start fails."""
    with pytest.raises(WeightsError) as raised:
        fetch_artifacts(settings)
    assert "\n" not in str(raised.value)
    return str(raised.value)


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


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (401, "refuses the key in WANDB_API_KEY"),
        (500, f"cannot be asked for the artifact {NAME}:v0 .HTTP 500"),
    ],
)
def test_what_the_server_answers_is_one_sentence(
    cloud: WandbServer, settings: Settings, status: int, reason: str
) -> None:
    published(cloud)
    cloud.fault = Fault(status=status)
    assert re.search(reason, fails(settings))


FILE_FAULTS = {
    "missing": (Fault(status=404), "artifact {} is listed, but its file is missing .HTTP 404."),
    "failing": (Fault(status=500), "the file of the artifact {} cannot be had .HTTP 500."),
    "cut": (Fault(cut_after=300_000), "the download of the artifact {} broke off"),
    "wrong": (Fault(wrong_bytes=True), "fold.pth of the artifact {} arrived damaged .its MD5"),
}


def test_each_fault_of_a_file_is_one_sentence_and_leaves_nothing_in_the_cache(
    cloud: WandbServer, settings: Settings
) -> None:
    names = {f"team/project/{name}": fault for name, (fault, _) in FILE_FAULTS.items()}
    cloud.file_faults = names
    asked = [asking_for(settings, published(cloud, name).full_name) for name in names]
    with ThreadPoolExecutor() as starts:
        sentences = list(starts.map(fails, asked))
    for one, sentence, (_, reason) in zip(asked, sentences, FILE_FAULTS.values(), strict=True):
        assert re.search(reason.format(*one.model_artifacts), sentence)
    assert kept(settings) == []


@pytest.mark.parametrize(
    "fault",
    [Fault(silent=True), Fault(on="files", seconds_a_chunk=2)],
    ids=["silent", "slow file"],
)
def test_the_deadline_is_around_everything(cloud: WandbServer, settings: Settings, fault: Fault) -> None:
    published(cloud)
    cloud.fault = fault
    started = time.monotonic()
    sentence = fails(asking_for(settings, f"{NAME}:v0", wandb_timeout_s=3))
    assert time.monotonic() - started < 3 + 2
    assert "was not downloaded within WANDB_TIMEOUT_S=3 seconds" in sentence
    assert kept(settings) == []


@pytest.mark.parametrize(
    ("version", "key", "reason"),
    [
        ("best", API_KEY, f"there is no artifact {NAME}:best that the key in WANDB_API_KEY may read"),
        ("v0", "short", "is no W&B key"),
        ("v0", None, f"names {NAME}:v0, but WANDB_API_KEY is not set"),
    ],
    ids=["unknown", "no key of W&B's", "no key"],
)
def test_what_cannot_be_had_is_one_sentence(
    cloud: WandbServer, settings: Settings, version: str, key: str | None, reason: str
) -> None:
    published(cloud)
    secret = SecretStr(key) if key else None
    assert reason in fails(asking_for(settings, f"{NAME}:{version}", wandb_api_key=secret))
    assert kept(settings) == []


def test_two_checkpoints_in_an_artifact_are_not_even_downloaded(
    cloud: WandbServer, settings: Settings
) -> None:
    cloud.store.add_artifact(NAME, {"best.pth": b"1", "last.ckpt": b"2"})
    assert "exactly one checkpoint, but holds best.pth, last.ckpt" in fails(settings)
    assert cloud.downloads == []


def test_latest_is_asked_for_and_comes_from_the_cache_where_nobody_answers(
    cloud: WandbServer, settings: Settings, log: list[str]
) -> None:
    latest = asking_for(settings, f"{NAME}:latest")
    published(cloud)
    (first,) = fetch_artifacts(latest)
    assert first.artifact.name == f"{NAME}:v0"
    published(cloud, content=CONTENT[::-1])
    (second,) = fetch_artifacts(latest)
    assert (second.artifact.name, second.path.read_bytes()) == (f"{NAME}:v1", CONTENT[::-1])
    cloud.close()
    assert fetch_artifacts(latest) == [second]
    (warning,) = [line for line in log if line.startswith("WARNING")]
    assert "cannot be asked for" in warning
    assert f"starting with {NAME}:v1 from the cache" in warning


def test_a_damaged_file_in_the_cache_is_downloaded_again(
    cloud: WandbServer, settings: Settings, log: list[str]
) -> None:
    published(cloud)
    (checkpoint,) = fetch_artifacts(settings)
    checkpoint.path.write_bytes(CONTENT[::-1])  # of the right size
    assert fetch_artifacts(settings) == [checkpoint]
    assert checkpoint.path.read_bytes() == CONTENT
    assert "is damaged and not used" in "".join(log)


def test_a_start_killed_in_the_middle_of_a_download_recovers(
    cloud: WandbServer, settings: Settings, tmp_path: Path
) -> None:
    published(cloud)
    cloud.fault = Fault(on="files", seconds_a_chunk=0.5)
    partial = settings.model_cache_dir / "artifacts" / "partial"
    starting = subprocess.Popen(
        [sys.executable, "-m", "inference", "weights"],
        cwd=ROOT,
        env=environment(
            **cloud.environment(tmp_path),
            MODEL_ARTIFACTS=f"{NAME}:v0",
            MODEL_CACHE_DIR=settings.model_cache_dir,
        ),
    )
    wait_until(lambda: bool(cloud.downloads))
    starting.kill()
    starting.wait()
    wait_until(lambda: not any(partial.iterdir()))
    assert kept(settings) == []
    cloud.fault = NO_FAULT
    (checkpoint,) = fetch_artifacts(settings)
    assert checkpoint.path.read_bytes() == CONTENT


def wait_until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_S
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
