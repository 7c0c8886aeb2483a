"""The split into folds: seeded, stratified, and kept in a small committed file."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.model_selection import StratifiedKFold

from inference.weights.fold_file import FoldMetadata
from training.scans.dataset import Case, DataError, LabelledScan

SPLIT_FILE = Path(__file__).with_name("folds.json")
TALL_SCAN_PX = 500
SIZE_CLASSES = 3


@dataclass(frozen=True)
class Split:
    """Which fold each scan is held out of."""

    fold_of: dict[str, int]
    seed: int

    @property
    def folds(self) -> int:
        """Return the number of folds."""
        return 1 + max(self.fold_of.values())

    @property
    def sha256(self) -> str:
        """Identify the split by its content, whatever the file's layout."""
        content = json.dumps(self.fold_of, sort_keys=True).encode()
        return hashlib.sha256(content).hexdigest()

    def held_out(self, cases: list[Case], fold: int) -> list[Case]:
        """Return the cases that the fold's network never sees in training."""
        self._check(cases, fold)
        return [case for case in cases if self.fold_of[case.name] == fold]

    def training(self, cases: list[Case], fold: int) -> list[Case]:
        """Return the cases that the fold's network is trained on."""
        self._check(cases, fold)
        return [case for case in cases if self.fold_of[case.name] != fold]

    def _check(self, cases: list[Case], fold: int) -> None:
        if not 0 <= fold < self.folds:
            raise DataError(f"there is no fold {fold}: the split has folds 0 to {self.folds - 1}")
        unknown = [case.name for case in cases if case.name not in self.fold_of]
        if unknown:
            raise DataError(
                f"{len(unknown)} scans are not in the split file ({', '.join(unknown[:3])}, ...): "
                "make one for this data with `python -m training split` and name it with --split"
            )


def split_scans(scans: list[LabelledScan], *, folds: int = 4, seed: int = 0) -> Split:
    """Deal the scans into folds, stratified by kind, scan height and, for patients, tumour size."""
    patients = sum(scan.case.is_patient for scan in scans)
    if patients < folds:
        raise DataError(f"{patients} patients cannot be dealt into {folds} folds: ask for fewer with --folds")
    sizes = np.array([scan.label.mean() for scan in scans if scan.case.is_patient])
    edges = np.quantile(sizes, np.linspace(0, 1, SIZE_CLASSES + 1)[1:-1])
    strata = [_stratum(scan, edges) for scan in scans]
    if min(strata.count(stratum) for stratum in strata) < folds:
        strata = ["patient" if scan.case.is_patient else "control" for scan in scans]
    splitter = StratifiedKFold(n_splits=folds, shuffle=True, random_state=seed)
    fold_of: dict[str, int] = {}
    for fold, (_, held_out) in enumerate(splitter.split(np.zeros(len(scans)), strata)):
        fold_of |= {scans[i].case.name: fold for i in held_out}
    return Split(dict(sorted(fold_of.items())), seed)


def write_split(split: Split, path: Path) -> None:
    """Write the split as JSON, one scan a line so that a change shows as such."""
    path.write_text(json.dumps({"seed": split.seed, "fold_of": split.fold_of}, indent=1) + "\n")


def read_split(path: Path = SPLIT_FILE) -> Split:
    """Read a split file; raises `DataError` where it is missing or malformed."""
    try:
        content = json.loads(path.read_text())
        return Split({str(k): int(v) for k, v in content["fold_of"].items()}, int(content["seed"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"the split file {path} cannot be read: {error}") from None


def trained_fold(metadata: FoldMetadata, split: Split) -> int:
    """Return which fold's scans the weights never saw; raises `DataError` where that is not known."""
    if metadata.fold is None or metadata.training.get("split_sha256") != split.sha256:
        raise DataError(
            "the weights were trained on another split than this one, so that they may have seen some of its "
            "held-out scans: name the split of the training run with --split"
        )
    return metadata.fold


def _stratum(scan: LabelledScan, size_edges: np.ndarray) -> str:
    height = "tall" if scan.grey.shape[0] > TALL_SCAN_PX else "short"
    if not scan.case.is_patient:
        return f"control-{height}"
    return f"patient-{height}-{int(np.searchsorted(size_edges, scan.label.mean()))}"
