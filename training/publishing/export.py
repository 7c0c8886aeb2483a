"""From finished runs to the folder that the service starts from."""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from inference.weights.ensemble_file import EnsembleFile, FoldEntry, write_ensemble_file
from inference.weights.fold_file import read_fold
from training.config import WEIGHTS_FILE
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
