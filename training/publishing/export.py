"""From finished runs to the folder that the service starts from."""

import hashlib
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from inference.weights.activation_ranges import read_ranges, write_ranges
from inference.weights.ensemble_file import EnsembleFile, FoldEntry, write_ensemble_file
from inference.weights.fold_file import read_fold
from training.config import WEIGHTS_FILE
from training.judging.evaluation import ScanScore, summarize
from training.scans.dataset import DataError


def export_runs(run_dirs: Sequence[Path], models_dir: Path) -> EnsembleFile:
    """Copy the weights of finished runs into `models_dir` and list them in a new `ensemble.json`.

    The new file has the default flips and threshold and no classifier: `calibrate` chooses them.
    Raises `DataError` where a run is not finished or two runs are of the same fold.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    entries: dict[int, FoldEntry] = {}
    for run_dir in run_dirs:
        source = run_dir / WEIGHTS_FILE
        if not source.exists():
            raise DataError(
                f"{run_dir} holds no {WEIGHTS_FILE}: go on with `python -m training fit --resume`"
            )
        fold = read_fold(source).metadata.fold
        if fold is None or fold in entries:
            raise DataError(f"{run_dir} is a second run of fold {fold}: export one run a fold")
        target = models_dir / f"fold{fold}.safetensors"
        shutil.copyfile(source, target)
        entries[fold] = FoldEntry(
            fold=fold, file=target.name, sha256=hashlib.sha256(target.read_bytes()).hexdigest()
        )
    listed = EnsembleFile(folds=tuple(entries[fold] for fold in sorted(entries)))
    write_ensemble_file(listed, models_dir)
    return listed


def with_scores(listed: EnsembleFile, scores: Iterable[ScanScore]) -> EnsembleFile:
    """Return the ensemble file with each fold's out-of-fold Dice."""
    scored = list(scores)
    folds = []
    for entry in listed.folds:
        summary = summarize(score for score in scored if score.fold == entry.fold)
        update = {"out_of_fold_dice": round(summary.mean_dice, 4), "out_of_fold_patients": summary.patients}
        folds.append(entry.model_copy(update=update))
    return listed.model_copy(update={"folds": tuple(folds)})


def stamp_choices(listed: EnsembleFile, models_dir: Path) -> EnsembleFile:
    """Write the ensemble's threshold and views into every fold's own metadata, and list the new hashes."""
    from inference.weights.checkpoints import (  # import PyTorch, which few commands need
        load_network,
        save_fold,
    )

    folds = []
    for entry in listed.folds:
        path = models_dir / entry.file
        fold = read_fold(path, expected_sha256=entry.sha256)
        ranges = read_ranges(fold)
        metadata = fold.metadata.model_copy(update={"threshold": listed.threshold, "tta_ops": listed.tta_ops})
        sha256 = save_fold(load_network(fold), metadata, path)
        if ranges is not None:
            write_ranges(ranges.model_copy(update={"weights_sha256": sha256}), path)
        folds.append(entry.model_copy(update={"sha256": sha256}))
    return listed.model_copy(update={"folds": tuple(folds)})
