"""What `python -m training publish` makes of finished runs and exported folders: one artifact a fold.

An artifact is itself a folder that the service can start from: `foldK.safetensors`, its
`foldK.ranges.json` where there is one, and an `ensemble.json` of this one fold, which brings views,
threshold and classifier along.
"""

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.weights.activation_ranges import ranges_path, read_ranges
from inference.weights.ensemble_file import (
    ENSEMBLE_FILE,
    EnsembleFile,
    FoldEntry,
    read_ensemble_file,
    read_listed_folds,
    write_ensemble_file,
)
from inference.weights.fold_file import FoldFile, read_fold
from training.config import WEIGHTS_FILE, read_run_id
from training.fitting.curves import read_metrics
from training.scans.dataset import DataError


@dataclass(frozen=True)
class Publication:
    """One fold as it is published; `listed` holds this fold alone."""

    name: str
    fold: FoldFile
    listed: EnsembleFile
    metadata: dict[str, Any]


def find_publications(sources: Sequence[Path], names: Sequence[str] = ()) -> list[Publication]:
    """Return what is to be published of finished runs, and of folders that hold an `ensemble.json`.

    `names` has one name a fold, in their order; without it a fold is named `foldK`. Raises
    `DataError` where a source is neither, where names are too few or too many, or two are the same;
    `WeightsError` where weights cannot be read.
    """
    found = [publication for source in sources for publication in _publications(source)]
    if names and len(names) != len(found):
        raise DataError(
            f"there are {len(found)} folds to publish, but {len(names)} names: give one --name a fold"
        )
    if names:
        found = [
            Publication(name, p.fold, p.listed, p.metadata) for name, p in zip(names, found, strict=True)
        ]
    chosen = [publication.name for publication in found]
    twice = sorted({name for name in chosen if chosen.count(name) > 1})
    if twice:
        raise DataError(f"several folds would be published as {twice[0]}: give each a --name of its own")
    return found


def write_publication(publication: Publication, folder: Path) -> None:
    """Write the files of an artifact into a folder; the weights are those of the source, byte for byte."""
    folder.mkdir(parents=True)
    (entry,) = publication.listed.folds
    weights = folder / entry.file
    shutil.copyfile(publication.fold.path, weights)
    if read_ranges(publication.fold) is not None:
        shutil.copyfile(ranges_path(publication.fold.path), ranges_path(weights))
    write_ensemble_file(publication.listed, folder)


def _publications(source: Path) -> Iterator[Publication]:
    if (source / ENSEMBLE_FILE).exists():
        listed = read_ensemble_file(source)
        for entry, fold in zip(listed.folds, read_listed_folds(source, listed), strict=True):
            yield _publication(fold, listed.model_copy(update={"folds": (entry,)}))
    elif (source / WEIGHTS_FILE).exists():
        yield _publication_of_run(source)
    else:
        raise DataError(
            f"{source} holds neither {WEIGHTS_FILE} nor {ENSEMBLE_FILE}: name finished runs, or a folder "
            "that `python -m training export` made"
        )


def _publication_of_run(run_dir: Path) -> Publication:
    fold = read_fold(run_dir / WEIGHTS_FILE)
    number = fold.metadata.fold
    entry = FoldEntry(fold=number, file=f"fold{number}.safetensors", sha256=fold.sha256)
    listed = EnsembleFile(folds=(entry,), tta_ops=fold.metadata.tta_ops, threshold=fold.metadata.threshold)
    more: dict[str, Any] = {"wandb_run": read_run_id(run_dir)}
    validated = read_metrics(run_dir, "val_dice")
    if validated:
        more["held_out_dice_in_training"] = round(validated[max(validated)], 4)
    return _publication(fold, listed, more)


def _publication(fold: FoldFile, listed: EnsembleFile, more: dict[str, Any] | None = None) -> Publication:
    (entry,) = listed.folds
    training = fold.metadata.training
    metadata = {
        "fold": entry.fold,
        "out_of_fold_dice": entry.out_of_fold_dice,
        "out_of_fold_patients": entry.out_of_fold_patients,
        "threshold": listed.threshold,
        "tta_ops": list(listed.tta_ops),
        "preparation": fold.metadata.preparation.model_dump(mode="json"),
        "architecture": fold.metadata.architecture,
        "sha256": entry.sha256,
        "commit": training.get("commit"),
        "split_sha256": training.get("split_sha256"),
        "training": training,
    }
    return Publication(f"fold{entry.fold}", fold, listed, metadata | (more or {}))
