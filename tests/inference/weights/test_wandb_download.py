"""Which files of a manifest are used; test_artifacts.py has the downloads themselves."""

from enum import Enum
from types import SimpleNamespace

import pytest

from inference.artifact_names import parse_artifact_name
from inference.weights.wandb_download import choose_files
from inference.weights.wandb_errors import RefusalError

NAME = parse_artifact_name("team/project/fold0:v3")
DIGEST = "0123456789abcdef" * 2


class Algorithm(Enum):
    """As the SDK's own has them."""

    MD5 = "MANIFEST_MD5"
    XXH128 = "MANIFEST_XXH128"


def entry(*, ref: str | None = None, algorithm: Algorithm = Algorithm.MD5) -> SimpleNamespace:
    """Return an entry of a manifest, as far as it is used."""
    return SimpleNamespace(size=7, digest="abc=", ref=ref, digest_algorithm=lambda: algorithm)


def test_the_checkpoint_and_its_ranges_are_used() -> None:
    entries = {
        "out/fold0.ranges.json": entry(),
        "out/fold0.safetensors": entry(algorithm=Algorithm.XXH128),
        "out/fold2.ranges.json": entry(),
        "notes.md": entry(),
    }
    artifact, paths = choose_files(NAME, DIGEST, entries)
    assert paths == ["out/fold0.safetensors", "out/fold0.ranges.json"]
    assert [(file.name, file.algorithm) for file in artifact.files] == [
        ("fold0.safetensors", "XXH128"),
        ("fold0.ranges.json", "MD5"),
    ]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        ({"notes.md": entry()}, "must hold exactly one checkpoint, but holds none"),
        ({"fold0.pth": entry(ref="s3://bucket/fold0.pth")}, "only refers to s3://bucket/fold0.pth"),
    ],
    ids=["no checkpoint", "a reference"],
)
def test_what_cannot_be_used_is_refused(entries: dict[str, SimpleNamespace], reason: str) -> None:
    with pytest.raises(RefusalError, match=reason):
        choose_files(NAME, DIGEST, entries)
