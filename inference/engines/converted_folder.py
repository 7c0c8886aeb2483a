"""A folder of converted folds, from which a machine without PyTorch serves."""

import re
import shutil
from hashlib import sha256
from pathlib import Path

from inference.engines.conversion import convert_folds, write_converted
from inference.errors import SettingsError
from inference.settings import Settings
from inference.weights.activation_ranges import ranges_path, read_ranges
from inference.weights.ensemble_file import EnsembleFile, read_folds, write_ensemble_file
from inference.weights.fold_file import CONVERTED_SUFFIX

UNSAFE = re.compile(r"[/:]")
"""What separates the parts of an artifact's name, and cannot be in a file's."""


def export_converted(settings: Settings, folder: Path) -> EnsembleFile:
    """Write the folds that the settings name in OpenVINO's form, and list them in an `ensemble.json`.

    Raises `SettingsError` where `folder` is the one that they come from, `WeightsError` for a fold
    that is no UNet.
    """
    if folder.resolve() == settings.models_dir.resolve():
        raise SettingsError(f"{folder} is the folder that the folds come from: name another")
    folds, listed = read_folds(settings)
    forms = convert_folds(folds, settings.model_cache_dir)
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    for entry, fold, form in zip(listed.folds, folds, forms, strict=True):
        target = folder / f"{UNSAFE.sub('-', fold.name)}{CONVERTED_SUFFIX}"
        write_converted(fold, form, target)
        if read_ranges(fold) is not None:
            shutil.copyfile(ranges_path(fold.path), ranges_path(target))
        content = sha256(target.read_bytes()).hexdigest()
        entries.append(entry.model_copy(update={"file": target.name, "sha256": content}))
    exported = listed.model_copy(update={"folds": tuple(entries)})
    write_ensemble_file(exported, folder)
    return exported
