"""What each worker of a cluster does: it holds an ensemble, and segments the scans that it is sent."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from inference.atomic_write import png_of
from inference.cli.ray.object_storage import StorageFolder
from inference.cli.ray.stored_scans import StoredScan
from inference.cli.results.findings_file import Row, failure, reason_of, success
from inference.cli.results.volume_files import VolumeFiles
from inference.cli.scans.parallel_map import EXTRA_SCANS, parallel_map
from inference.ensemble import Prediction, load_ensemble
from inference.errors import ResultsError
from inference.report.description import describe
from inference.report.overlay import draw_overlay
from inference.settings import Settings
from inference.volumes.volume_scan import VolumeScan

Batch = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """What is the same for every scan of a run; `identity` is what results depend on beside the scan."""

    settings: Settings
    out: StorageFolder
    identity: dict[str, Any]
    overlays: bool
    volume_files: VolumeFiles


class Worker:
    """Segments batches of scans, a few at a time: some are read and written while one is computed.

    What it writes of a scan is whole or absent, and always the same: a batch that is begun again after
    its worker was lost leaves nothing twice.
    """

    def __init__(self, task: Task) -> None:
        self.task = task
        self.ensemble = load_ensemble(task.settings)

    def __call__(self, batch: Batch) -> Batch:
        """Return the row of every scan as JSON; an empty one where its results are there already."""
        scans = list(zip(batch["scan"], batch["fingerprint"], strict=True))
        at_once = self.ensemble.engine.parallel_passes + EXTRA_SCANS
        rows = [self._row(scan, done) for (scan, _), done in parallel_map(self._work, scans, at_once=at_once)]
        return {
            "scan": [scan.name for scan, _ in scans],
            "row": ["" if row is None else json.dumps(row) for row in rows],
        }

    def _row(self, scan: StoredScan, done: Any) -> Row | None:
        try:
            row: Row | None = done.result()
        except ResultsError:
            raise
        except Exception as error:
            return failure(scan.name, reason_of(error, scan.name))
        return row

    def _work(self, item: tuple[StoredScan, str | None]) -> Row | None:
        scan, earlier = item
        pixels, volume, digest = scan.read(self.task.volume_files.options)
        fingerprint = fingerprint_of(digest, self.task.identity)
        if earlier and earlier == fingerprint and self._is_there(scan):
            return None
        return self._keep(scan, self.ensemble.predict(pixels), volume, fingerprint)

    def _keep(
        self, scan: StoredScan, prediction: Prediction, volume: VolumeScan | None, fingerprint: str | None
    ) -> Row:
        found = describe(prediction, volume)
        made = self.task.volume_files.made_of(volume, prediction.mask, Path(scan.result), fingerprint)
        files = {mask_name(scan): png_of(prediction.mask)}
        if self.task.overlays:
            files[overlay_name(scan)] = png_of(draw_overlay(prediction.scan, prediction.mask, found.lesions))
        files |= {PurePosixPath(path).as_posix(): content for path, content in made.files.items()}
        row = success(scan.name, found, fingerprint, made.warnings)
        try:
            for name, content in files.items():
                self.task.out.write(name, content)
        except OSError as error:
            raise ResultsError(
                f"{self.task.out.place} cannot be written ({error.strerror or error}): mend that, and go on "
                "with --resume"
            ) from error
        return row

    def _is_there(self, scan: StoredScan) -> bool:
        names = [mask_name(scan), *([overlay_name(scan)] if self.task.overlays else [])]
        names += [path.as_posix() for path in self.task.volume_files.paths(Path(scan.result))]
        return all(self.task.out.has(name) for name in names)


def mask_name(scan: StoredScan) -> str:
    """Return where a scan's mask goes, below the folder of results."""
    return f"{scan.result}_mask.png"


def overlay_name(scan: StoredScan) -> str:
    """Return where a scan's overlay goes, below the folder of results."""
    return f"{scan.result}_overlay.png"


def fingerprint_of(digest: str | None, identity: dict[str, Any]) -> str | None:
    """Return what tells a scan's content and what segmented it from all others, if there is such."""
    if digest is None:
        return None
    return hashlib.sha256(json.dumps([digest, identity], sort_keys=True).encode()).hexdigest()
