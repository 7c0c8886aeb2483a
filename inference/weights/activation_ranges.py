"""Activation ranges: what INT8 needs to know of a fold beyond its weights, kept beside them.

`foldK.ranges.json` is made by `python -m training quantize`, from scans that the fold was trained on.
"""

from pathlib import Path

from loguru import logger
from pydantic import BaseModel, ConfigDict, ValidationError

from inference.atomic_write import write_atomically
from inference.weights.fold_file import FoldFile

RANGES_SUFFIX = ".ranges.json"


class ActivationRanges(BaseModel):
    """The lowest and highest input, averaged over scans, of each convolution that can run in INT8."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights_sha256: str
    scans: int
    low: tuple[float, ...]
    high: tuple[float, ...]


def ranges_path(weights: Path) -> Path:
    """Return where the activation ranges of a fold's file are."""
    return weights.with_name(weights.stem + RANGES_SUFFIX)


def read_ranges(fold: FoldFile) -> ActivationRanges | None:
    """Return a fold's activation ranges, or None where it has none that were made for these weights."""
    path = ranges_path(fold.path)
    try:
        ranges = ActivationRanges.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        reason = str(error).partition("\n")[0]
        logger.warning("{} cannot be read ({}): this fold does without INT8", path, reason)
        return None
    if ranges.weights_sha256 != fold.sha256:
        logger.warning("{} was made for other weights: run `python -m training quantize`", path)
        return None
    return ranges


def write_ranges(ranges: ActivationRanges, weights: Path) -> None:
    """Write activation ranges beside the fold's file that they belong to."""
    write_atomically(ranges_path(weights), f"{ranges.model_dump_json()}\n".encode())
