"""What judging found, written into the folder of folds: their scores, and what was chosen for them."""

from collections.abc import Iterable
from pathlib import Path

from inference.weights.activation_ranges import read_ranges, write_ranges
from inference.weights.ensemble_file import EnsembleFile
from inference.weights.fold_file import read_fold
from training.judging.evaluation import ScanScore, summarize


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
