import hashlib
import time
from pathlib import Path

import pytest

from inference.artifact_names import parse_artifact_name
from inference.errors import WeightsError
from inference.weights.artifact_cache import Artifact, ArtifactCache, ArtifactFile
from tests.stand_ins.wandb_store import md5_base64

CONTENT = b"weights"
ARTIFACT = Artifact(
    name="team/project/fold0:v3",
    digest=hashlib.md5(b"manifest").hexdigest(),
    files=(ArtifactFile(name="fold0.pth", size=len(CONTENT), digest=md5_base64(CONTENT)),),
)
LATEST = parse_artifact_name("team/project/fold0")


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return ArtifactCache(tmp_path)


def keep(cache: ArtifactCache, content: bytes, artifact: Artifact = ARTIFACT) -> None:
    with cache.scratch(60) as scratch:
        (scratch / "fold0.pth").write_bytes(content)
        cache.keep(artifact, scratch)
        cache.note(LATEST, artifact)


def test_what_is_kept_is_found_by_its_name(cache: ArtifactCache) -> None:
    assert cache.find(LATEST) is None
    keep(cache, CONTENT)
    assert cache.find(LATEST) == ARTIFACT
    assert cache.checkpoint(ARTIFACT).read_bytes() == CONTENT
    assert not list((cache.folder / "partial").iterdir())


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"weight", "it has 6 bytes, and 7 are listed"), (b"weighty", "its MD5 is .*, and .* is listed")],
)
def test_what_arrives_damaged_is_not_kept(cache: ArtifactCache, content: bytes, reason: str) -> None:
    with pytest.raises(WeightsError, match=reason):
        keep(cache, content)
    assert not (cache.folder / "files").exists()


@pytest.mark.parametrize("content", [b"weight", b"weighty", None])
def test_what_is_damaged_in_the_cache_is_not_found(cache: ArtifactCache, content: bytes | None) -> None:
    keep(cache, CONTENT)
    cache.checkpoint(ARTIFACT).unlink()
    if content is not None:
        cache.checkpoint(ARTIFACT).write_bytes(content)
    assert cache.find(LATEST) is None


def test_other_hashes_of_manifests_are_verified_too(cache: ArtifactCache) -> None:
    file = ArtifactFile(
        name="fold0.pth", size=len(CONTENT), digest="vb2h624FrcSADZjlUk/vvA==", algorithm="XXH128"
    )
    keep(cache, CONTENT, ARTIFACT.model_copy(update={"files": (file,)}))
    with pytest.raises(WeightsError, match="its XXH128 is"):
        keep(cache, b"weighty", ARTIFACT.model_copy(update={"files": (file,)}))


def test_what_killed_downloads_left_is_removed_after_their_deadline(cache: ArtifactCache) -> None:
    partial = cache.folder / "partial"
    for expiry in (time.time() - 2, time.time() + 60):
        folder = partial / f"{int(expiry)}-x"
        folder.mkdir(parents=True)
        (folder / "half.pth").write_bytes(b"half")
    cache.clear_partial()
    (left,) = partial.iterdir()
    assert int(left.name.partition("-")[0]) > time.time()


@pytest.mark.parametrize("name", ["fold0:v1", "project/fold0:v1", "a/../c:v1", "a/b/c:..", "a/b/c:v1:v2", ""])
def test_a_name_is_in_full_and_stays_in_the_cache(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of an artifact in full"):
        parse_artifact_name(name)


def test_a_name_without_a_version_means_the_latest() -> None:
    assert (str(LATEST), LATEST.is_pinned) == ("team/project/fold0:latest", False)
    assert parse_artifact_name("team/project/fold0:v12").is_pinned
    assert not parse_artifact_name("team/project/fold0:v12b").is_pinned
