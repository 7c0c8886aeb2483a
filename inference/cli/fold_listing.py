"""Which folds the service would start with, as a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from inference.cli.console import printable
from inference.engines.engine import require_openvino
from inference.errors import WeightsError
from inference.preparation import Preparation
from inference.settings import Settings
from inference.weights.ensemble_file import FoldEntry, read_ensemble_file, read_folds
from inference.weights.fold_file import FoldFile, read_fold

SHA256_SHOWN = 8


@dataclass(frozen=True)
class ListedFold:
    """One fold that the service would start with, or why it would not."""

    entry: FoldEntry
    origin: str
    fold: FoldFile | None
    fault: str | None = None


def list_folds(settings: Settings, *, verify: bool = False) -> list[ListedFold]:
    """Identify the folds that the settings name, each by its file's SHA-256; artifacts are fetched.

    With `verify` each is loaded too, which shows whether its tensors are those of the network.
    Raises `WeightsError` where `ensemble.json` cannot be read or an artifact cannot be had.
    """
    if settings.model_artifacts:
        folds, listed = read_folds(settings)
        rows = [
            ListedFold(entry, fold.artifact or str(fold.path), fold)
            for entry, fold in zip(listed.folds, folds, strict=True)
        ]
    else:
        entries = read_ensemble_file(settings.models_dir).folds
        rows = [_identify(entry, settings.models_dir / entry.file) for entry in entries]
    return [_verify(row) for row in rows] if verify else rows


def _identify(entry: FoldEntry, path: Path) -> ListedFold:
    try:
        return ListedFold(entry, str(path), read_fold(path, expected_sha256=entry.sha256))
    except WeightsError as error:
        return ListedFold(entry, str(path), None, str(error))


def _verify(row: ListedFold) -> ListedFold:
    if row.fold is None:
        return row
    try:
        require_openvino()
        from inference.engines.unet_graph import build_graph

        build_graph(row.fold)
    except WeightsError as error:
        return ListedFold(row.entry, row.origin, row.fold, str(error))
    return row


def folds_table(rows: Sequence[ListedFold]) -> Table:
    """Return a table of folds: from where, SHA-256, preparation, out-of-fold Dice over how many patients."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("fold")
    table.add_column("from", overflow="fold")
    for title in ("SHA-256", "preparation", "Dice (n)"):
        table.add_column(title, no_wrap=True)
    for row in rows:
        sha256 = row.fold.sha256 if row.fold else row.entry.sha256
        prepared = row.fold and not row.fault and _preparation(row.fold.metadata.preparation)
        table.add_row(
            "?" if row.entry.fold is None else str(row.entry.fold),
            printable(row.origin),
            sha256[:SHA256_SHOWN],
            prepared or "cannot be served",
            _dice(row.entry),
        )
    return table


def _preparation(preparation: Preparation) -> str:
    if preparation.input_size is not None:
        height, width = preparation.input_size
        size = f"{height} x {width}"
    else:
        size = f"scale {preparation.input_scale:g}"
    return f"{size}, {preparation.normalisation}"


def _dice(entry: FoldEntry) -> str:
    if entry.out_of_fold_dice is None:
        return "not measured"
    over = f" ({entry.out_of_fold_patients})" if entry.out_of_fold_patients else ""
    return f"{entry.out_of_fold_dice:.3f}{over}"
