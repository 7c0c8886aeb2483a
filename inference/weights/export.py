"""A folder of the folds that the settings name, from which a service elsewhere runs the same."""

import re
from hashlib import sha256
from pathlib import Path

import safetensors.numpy

from inference.atomic_write import write_atomically
from inference.errors import SettingsError
from inference.settings import Settings
from inference.weights.activation_ranges import read_ranges, write_ranges
from inference.weights.ensemble_file import EnsembleFile, read_folds, write_ensemble_file
from inference.weights.fold_file import METADATA_KEY, SAFETENSORS_SUFFIX, FoldFile
from inference.weights.tensors import read_tensors

UNSAFE = re.compile(r"[/:]")
"""What separates the parts of an artifact's name, and cannot be in a file's."""


def export_folds(settings: Settings, folder: Path) -> EnsembleFile:
    """Write the folds that the settings name as `.safetensors`, and list them in an `ensemble.json`.

    What came from W&B is then served without a key, and a file of PyTorch's says itself how its scans
    are prepared. Tensors stay as they are, to the bit.
    Raises `SettingsError` where `folder` is the one that they come from, `WeightsError` where a fold
    cannot be read.
    """
    if folder.resolve() == settings.models_dir.resolve():
        raise SettingsError(f"{folder} is the folder that the folds come from: name another")
    folds, listed = read_folds(settings)
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for entry, fold in zip(listed.folds, folds, strict=True):
        target = folder / f"{UNSAFE.sub('-', fold.name)}{SAFETENSORS_SUFFIX}"
        content = _as_safetensors(fold)
        write_atomically(target, content)
        content_sha256 = sha256(content).hexdigest()
        if (ranges := read_ranges(fold)) is not None:
            write_ranges(ranges.model_copy(update={"weights_sha256": content_sha256}), target)
        entries.append(entry.model_copy(update={"file": target.name, "sha256": content_sha256}))
    exported = listed.model_copy(update={"folds": tuple(entries)})
    write_ensemble_file(exported, folder)
    return exported


def _as_safetensors(fold: FoldFile) -> bytes:
    if fold.path.suffix == SAFETENSORS_SUFFIX:
        return fold.path.read_bytes()
    return safetensors.numpy.save(read_tensors(fold), {METADATA_KEY: fold.metadata.model_dump_json()})
