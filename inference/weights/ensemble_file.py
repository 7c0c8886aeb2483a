"""`ensemble.json`: which folds are served, and what was chosen for them together."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from inference.atomic_write import write_atomically
from inference.errors import WeightsError
from inference.findings import Classifier
from inference.settings import Settings
from inference.tta import FLIPS
from inference.weights.artifacts import fetch_artifacts
from inference.weights.fold_file import FoldFile, read_fold

ENSEMBLE_FILE = "ensemble.json"


class FoldEntry(BaseModel):
    """One fold in `ensemble.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fold: int | None
    file: str
    sha256: str
    out_of_fold_dice: float | None = None
    out_of_fold_patients: int | None = None


class EnsembleFile(BaseModel):
    """`ensemble.json`: the folds that are shipped, and what was chosen on their out-of-fold maps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    folds: Annotated[tuple[FoldEntry, ...], Field(min_length=1)]
    tta_ops: tuple[str, ...] = tuple(FLIPS)
    threshold: Annotated[float, Field(gt=0, lt=1)] = 0.5
    classifier: Classifier | None = None
    blank_below: Annotated[float, Field(ge=0, lt=1)] = 0


def read_folds(settings: Settings) -> tuple[list[FoldFile], EnsembleFile]:
    """Identify the folds that the settings name: W&B artifacts, or those that `ensemble.json` lists.

    Artifacts bring their choices along: in an `ensemble.json` of their own beside the checkpoint, or
    else, without a classifier, in the checkpoint's metadata. Folds published together have made the
    same; of others the mean threshold holds, the views that all have in common, and no classifier:
    the tumour probability of a scan is then the highest of its map.

    Raises `WeightsError` with one sentence that says what to do.
    """
    if not settings.model_artifacts:
        listed = read_ensemble_file(settings.models_dir)
        return read_listed_folds(settings.models_dir, listed), listed
    fetched = fetch_artifacts(settings)
    folds = [read_fold(checkpoint.path, artifact=checkpoint.artifact.name) for checkpoint in fetched]
    entries = (
        FoldEntry(
            fold=fold.metadata.fold,
            file=fold.path.name,
            sha256=fold.sha256,
            out_of_fold_dice=checkpoint.artifact.out_of_fold_dice,
            out_of_fold_patients=checkpoint.artifact.out_of_fold_patients,
        )
        for checkpoint, fold in zip(fetched, folds, strict=True)
    )
    return folds, in_common([_choices_of(fold) for fold in folds], tuple(entries))


def read_listed_folds(models_dir: Path, listed: EnsembleFile) -> list[FoldFile]:
    """Identify the folds of an ensemble file, each by its SHA-256."""
    return [read_fold(models_dir / entry.file, expected_sha256=entry.sha256) for entry in listed.folds]


def read_ensemble_file(models_dir: Path) -> EnsembleFile:
    """Read `ensemble.json`; raises `WeightsError` where it is missing or malformed."""
    return _parse(models_dir / ENSEMBLE_FILE, ())


def read_uncalibrated_file(models_dir: Path) -> EnsembleFile:
    """Read `ensemble.json` but for what `calibrate` chooses anew, be that of an earlier version."""
    return _parse(models_dir / ENSEMBLE_FILE, ("classifier", "blank_below"))


def write_ensemble_file(listed: EnsembleFile, models_dir: Path) -> None:
    """Write `ensemble.json`."""
    write_atomically(models_dir / ENSEMBLE_FILE, f"{listed.model_dump_json(indent=1)}\n".encode())


def _parse(path: Path, left_out: Sequence[str]) -> EnsembleFile:
    try:
        content = json.loads(path.read_text())
        if isinstance(content, dict):
            content = {name: value for name, value in content.items() if name not in left_out}
        return EnsembleFile.model_validate_json(json.dumps(content))
    except OSError:
        raise WeightsError(
            f"{path} is missing: leave MODELS_DIR empty for the folds that come with this, set it to a "
            "folder that `python -m training export` or `python -m inference export` made, or name W&B "
            "artifacts in MODEL_ARTIFACTS"
        ) from None
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"]) or "the file"
        reason = fault["msg"].removeprefix("Value error, ")
        raise WeightsError(f"{path} cannot be read: {where}: {reason}") from None
    except ValueError as error:
        raise WeightsError(f"{path} cannot be read: it is no JSON ({error})") from None


def in_common(choices: Sequence[EnsembleFile], entries: tuple[FoldEntry, ...]) -> EnsembleFile:
    """Return choices for folds that were chosen for one by one; the identity is always among the views."""
    first = choices[0]
    if all(c.model_copy(update={"folds": first.folds}) == first for c in choices):
        return first.model_copy(update={"folds": entries})
    views = tuple(op for op in FLIPS if op == "identity" or all(op in c.tta_ops for c in choices))
    threshold = float(np.mean([c.threshold for c in choices]))
    return EnsembleFile(folds=entries, tta_ops=views, threshold=threshold)


def _choices_of(fold: FoldFile) -> EnsembleFile:
    """Return what was chosen for a fold's artifact."""
    if (fold.path.parent / ENSEMBLE_FILE).exists():
        return read_ensemble_file(fold.path.parent)
    entry = FoldEntry(fold=fold.metadata.fold, file=fold.path.name, sha256=fold.sha256)
    return EnsembleFile(folds=(entry,), tta_ops=fold.metadata.tta_ops, threshold=fold.metadata.threshold)
