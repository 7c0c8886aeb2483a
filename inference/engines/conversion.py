"""From PyTorch's weights to OpenVINO's form of the network: once for all starts, in processes apart.

The form is kept in `MODEL_CACHE_DIR/converted`, by the weights' SHA-256 and OpenVINO's version, and
is independent of the precision that it runs in. Files there are whole or absent, whatever ends a
process while it writes one, and two starts at once write the same.
"""

import hashlib
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
import safetensors.numpy
from loguru import logger
from safetensors import SafetensorError, safe_open

from inference.engines.conversion_process import convert_apart
from inference.engines.cores import usable_cores
from inference.errors import WeightsError
from inference.weights.fold_file import CONVERTED_SUFFIX, METADATA_KEY, SOURCE_KEY, FoldFile

FORMAT = 1
"""Counts up when what is converted, or how it is kept, changes."""

CONTENT_KEY = "content_sha256"
READABLE = 0o644
"""For whoever serves an exported folder; a temporary file is its owner's alone."""


@dataclass(frozen=True)
class ConvertedFold:
    """A fold as OpenVINO reads it: a graph from (1, 1, h, w) inputs to probabilities, and its constants."""

    graph: bytes
    constants: bytes

    def model(self, core: ov.Core) -> ov.Model:
        """Return the network, for one scan of any height and width that are multiples of 32."""
        return core.read_model(model=self.graph, weights=self.constants)


def convert_folds(folds: Sequence[FoldFile], cache_dir: Path) -> list[ConvertedFold]:
    """Return OpenVINO's form of folds, in their order, from the cache where it has them.

    Raises `WeightsError` for a fold whose tensors are not those of the network.
    """
    found = [_read(kept_at(fold, cache_dir)) for fold in folds]
    missing = [fold for fold, form in zip(folds, found, strict=True) if form is None]
    if missing:
        logger.info("converting {} folds for OpenVINO; later starts find them in {}", len(missing), cache_dir)
    made = iter(_convert_apart(missing, cache_dir))
    return [form or next(made) for form in found]


def write_converted(fold: FoldFile, form: ConvertedFold, path: Path) -> None:
    """Write a converted fold with its metadata, whole or not at all."""
    header = {
        METADATA_KEY: fold.metadata.model_dump_json(),
        SOURCE_KEY: fold.sha256,
        CONTENT_KEY: _content_hash(form),
    }
    tensors = {name: np.frombuffer(getattr(form, name), np.uint8) for name in ("graph", "constants")}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=path.parent, suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(safetensors.numpy.save(tensors, header))
        Path(partial).chmod(READABLE)
        Path(partial).replace(path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def kept_at(fold: FoldFile, cache_dir: Path) -> Path:
    """Return where the form of a fold is kept; a converted fold is its own."""
    if fold.is_converted:
        return fold.path
    version = ov.__version__.partition("-")[0]
    return cache_dir / "converted" / f"{fold.sha256[:32]}-{version}-{FORMAT}{CONVERTED_SUFFIX}"


def _read(path: Path) -> ConvertedFold | None:
    """Read a converted fold; one that is not as it was written is as good as none."""
    if not path.exists():
        return None
    try:
        with safe_open(path, framework="np") as file:
            form = ConvertedFold(*(file.get_tensor(name).tobytes() for name in ("graph", "constants")))
            expected = (file.metadata() or {}).get(CONTENT_KEY)
    except (OSError, SafetensorError) as error:
        logger.warning("{} cannot be read ({})", path, error)
        return None
    if _content_hash(form) != expected:
        logger.warning("{} is not as it was written", path)
        return None
    return form


def _convert_apart(folds: Sequence[FoldFile], cache_dir: Path) -> list[ConvertedFold]:
    if not folds:
        return []
    damaged = [fold for fold in folds if fold.is_converted]
    if damaged:
        raise WeightsError(f"{damaged[0].path} is damaged: make it again with `python -m inference export`")
    hands = min(len(folds), usable_cores())
    with ThreadPoolExecutor(hands) as pool:
        shares = list(pool.map(convert_apart, [folds[hand::hands] for hand in range(hands)]))
    forms = [ConvertedFold(*shares[number % hands][number // hands]) for number in range(len(folds))]
    for fold, form in zip(folds, forms, strict=True):
        try:
            write_converted(fold, form, kept_at(fold, cache_dir))
        except OSError as error:
            logger.warning(
                "the next start converts again: {} cannot be written ({})", cache_dir, error.strerror
            )
    return forms


def _content_hash(form: ConvertedFold) -> str:
    content = hashlib.sha256(form.graph)
    content.update(form.constants)
    return content.hexdigest()
