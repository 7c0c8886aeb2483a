"""Fold weights on disk: a safetensors file that says itself how it is to be served."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import safetensors.torch
import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from safetensors import SafetensorError, safe_open

from inference.errors import WeightsError
from inference.preparation import ORIGINAL_PREPARATION, Preparation
from inference.tta import FLIPS
from inference.unet import ARCHITECTURE, build_unet

METADATA_KEY = "tumor_segmentation"
LIGHTNING_KEY = "pytorch-lightning_version"
LFS_POINTER = b"version https://git-lfs"
KEYS_SHOWN = 3

State = dict[str, torch.Tensor]


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
class FoldWeights:
    """One fold as loaded: its name, its content's SHA-256, its metadata and its network in eval mode."""

    name: str
    sha256: str
    metadata: FoldMetadata
    network: torch.nn.Module


def save_fold(network: torch.nn.Module, metadata: FoldMetadata, path: Path) -> str:
    """Write a network as safetensors and return the file's SHA-256.

    Matrices and kernels are stored as float16; vectors (batch statistics among them, which can
    exceed its range) keep float32.
    """
    state = {name: _compact(tensor) for name, tensor in network.state_dict().items()}
    content = safetensors.torch.save(state, metadata={METADATA_KEY: metadata.model_dump_json()})
    partial = path.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(path)
    return hashlib.sha256(content).hexdigest()


def load_fold(path: Path, *, expected_sha256: str | None = None) -> FoldWeights:
    """Load one fold from `.safetensors`, or from a `.pth`, `.pt` or `.ckpt` checkpoint.

    Raises `WeightsError` where the file is missing, a Git LFS pointer, not what `expected_sha256`
    says, of another architecture, or where a tensor is missing or left over.
    """
    content = _read(path)
    sha256 = hashlib.sha256(content).hexdigest()
    if expected_sha256 is not None and sha256 != expected_sha256:
        raise WeightsError(
            f"{path} is not the file that ensemble.json lists (SHA-256 {sha256[:12]}..., expected "
            f"{expected_sha256[:12]}...): restore it with `git checkout -- {path}`, or export the folds again"
        )
    if path.suffix == ".safetensors":
        metadata, state = _read_metadata(path), _read_safetensors(path, content)
    else:
        metadata, state = ORIGINAL_METADATA, _read_checkpoint(path)
    if metadata.architecture != ARCHITECTURE:
        raise WeightsError(f"{path} holds a {metadata.architecture}, but this service runs a {ARCHITECTURE}")
    return FoldWeights(path.stem, sha256, metadata, _build(path, state))


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(
            f"the fold weights {path} cannot be read: {error.strerror or error}: put the file back, or set "
            "MODELS_DIR to a folder that has it"
        ) from None
    if content.startswith(LFS_POINTER):
        raise WeightsError(
            f"{path} is a Git LFS pointer, not the weights: run `git lfs install` and `git lfs pull`"
        )
    return content


def _read_metadata(path: Path) -> FoldMetadata:
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(METADATA_KEY)
    except SafetensorError as error:
        raise WeightsError(f"{path} is no safetensors file, or is cut short ({error})") from None
    if text is None:
        raise WeightsError(
            f"{path} does not say how its scans are prepared: make it with `python -m training export`"
        )
    try:
        return FoldMetadata.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise WeightsError(
            f"{path} has metadata that this version cannot read: {where}: {fault['msg']}"
        ) from None


def _read_safetensors(path: Path, content: bytes) -> State:
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise WeightsError(f"{path} is no safetensors file, or is cut short ({error})") from None


def _read_checkpoint(path: Path) -> State:
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises a different type for every kind of damage
        reason = str(error).partition("\n")[0]
        raise WeightsError(
            f"{path} is no checkpoint of tensors alone, which is all that is loaded ({reason})"
        ) from None
    if isinstance(checkpoint, dict) and LIGHTNING_KEY in checkpoint:
        raise WeightsError(
            f"{path} is a training checkpoint, which does not say how its scans are prepared: "
            "use the fold.safetensors that its run ends with"
        )
    while isinstance(checkpoint, dict) and isinstance(checkpoint.get("state_dict"), dict):
        checkpoint = checkpoint["state_dict"]
    if not isinstance(checkpoint, dict) or not all(isinstance(v, torch.Tensor) for v in checkpoint.values()):
        raise WeightsError(f"{path} holds no state dict of tensors")
    return {_without_prefix(name): tensor for name, tensor in checkpoint.items()}


def _without_prefix(name: str) -> str:
    for prefix in ("module.", "model."):
        name = name.removeprefix(prefix)
    return name


def _build(path: Path, state: State) -> torch.nn.Module:
    network = build_unet()
    expected = network.state_dict()
    missing = sorted(expected.keys() - state.keys())
    unexpected = sorted(state.keys() - expected.keys())
    misshapen = sorted(k for k in expected.keys() & state.keys() if expected[k].shape != state[k].shape)
    for fault, names in (("misses", missing), ("has unexpected", unexpected), ("has misshapen", misshapen)):
        if names:
            shown = ", ".join(names[:KEYS_SHOWN])
            raise WeightsError(
                f"{path} is not the weights of a {ARCHITECTURE}: it {fault} {len(names)} tensors "
                f"({shown}, ...): name another file or artifact"
            )
    network.load_state_dict(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}
    )
    return network.eval()


def _compact(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
