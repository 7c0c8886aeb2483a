"""Fold weights on disk: a file that says itself how it is to be served, told apart without PyTorch."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from inference.errors import WeightsError
from inference.preparation import ORIGINAL_PREPARATION, Preparation
from inference.tta import FLIPS
from inference.unet import ARCHITECTURE
from inference.weights.torch_files import read_plain_entries

METADATA_KEY = "tumor_segmentation"
LIGHTNING_KEY = "pytorch-lightning_version"
SAFETENSORS_SUFFIX = ".safetensors"
CHECKPOINT_SUFFIXES = (SAFETENSORS_SUFFIX, ".pth", ".pt", ".ckpt")
LFS_POINTER = b"version https://git-lfs"


class FoldMetadata(BaseModel):
    """What a fold's file says of itself, so that it is never served with another fold's preparation."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fold: int | None
    architecture: str = ARCHITECTURE
    preparation: Preparation
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    tta_ops: tuple[str, ...] = tuple(FLIPS)
    training: dict[str, Any] = {}


ORIGINAL_METADATA = FoldMetadata(fold=None, preparation=ORIGINAL_PREPARATION)
"""What holds for a checkpoint without metadata: it is one of the original system's artifacts."""


@dataclass(frozen=True)
class FoldFile:
    """One fold's file, its content known by hash, its tensors not yet loaded.

    `artifact` is the one at Weights & Biases that the file is of, `entity/project/name:vN`.
    """

    path: Path
    sha256: str
    metadata: FoldMetadata
    artifact: str | None = None

    @property
    def name(self) -> str:
        """Return the fold's name."""
        return self.artifact or self.path.stem

    def __str__(self) -> str:
        return describe(self.path, self.artifact)


def describe(path: Path, artifact: str | None) -> str:
    """Name a fold's file, as messages do."""
    return f"{path.name} of the artifact {artifact}" if artifact else str(path)


def read_fold(path: Path, *, expected_sha256: str | None = None, artifact: str | None = None) -> FoldFile:
    """Identify one fold: a `.safetensors`, or a `.pth`, `.pt` or `.ckpt` of PyTorch's.

    One of PyTorch's is one of the original system's where it says nothing of itself.
    Raises `WeightsError` where the file is missing, a Git LFS pointer, not what `expected_sha256`
    says, of another architecture, or does not say how its scans are prepared.
    """
    sha256 = _hash(path, artifact)
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise WeightsError(
            f"{path} is not the file that ensemble.json lists (SHA-256 {sha256[:12]}..., expected "
            f"{expected_sha256[:12]}...): restore it, in a checkout with `git checkout -- {path}`, or export "
            "the folds again"
        )
    described = describe(path, artifact)
    if path.suffix == SAFETENSORS_SUFFIX:
        metadata = _parse_metadata(described, _read_header(path, described))
    else:
        metadata = _metadata_of_checkpoint(described, read_plain_entries(path))
    if metadata.architecture != ARCHITECTURE:
        raise WeightsError(
            f"{described} holds a {metadata.architecture}, but this service runs a {ARCHITECTURE}"
        )
    return FoldFile(path, sha256, metadata, artifact)


def _hash(path: Path, artifact: str | None) -> str:
    try:
        with path.open("rb") as file:
            if file.read(len(LFS_POINTER)) == LFS_POINTER:
                remedy = "run `git lfs install` and `git lfs pull`"
                if artifact is not None:
                    remedy += " where it was published from, and publish it again"
                raise WeightsError(
                    f"{describe(path, artifact)} is a Git LFS pointer, not the weights: {remedy}"
                )
            file.seek(0)
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"the fold weights {path} cannot be read: {error.strerror or error}: put the file back, or set "
            "MODELS_DIR to a folder that has it"
        ) from None


def _read_header(path: Path, described: str) -> dict[str, str]:
    try:
        with safe_open(path, framework="np") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise WeightsError(f"{described} is no safetensors file, or is cut short ({error})") from None


def _metadata_of_checkpoint(described: str, entries: dict[str, Any]) -> FoldMetadata:
    if METADATA_KEY in entries:
        return _parse_metadata(described, entries)
    if LIGHTNING_KEY in entries:
        raise WeightsError(
            f"{described} is a training checkpoint, which does not say how its scans are prepared: "
            "use the fold.safetensors that its run ends with"
        )
    return ORIGINAL_METADATA


def _parse_metadata(described: str, header: dict[str, Any]) -> FoldMetadata:
    if METADATA_KEY not in header:
        raise WeightsError(
            f"{described} does not say how its scans are prepared: make it with `python -m training export`"
        )
    try:
        return FoldMetadata.model_validate_json(header[METADATA_KEY])
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise WeightsError(
            f"{described} has metadata that this version cannot read: {where}: {fault['msg']}"
        ) from None
