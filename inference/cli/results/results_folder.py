"""The folder of results: which scans are done in it, and how one more is."""

import errno
import hashlib
import json
import os
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from inference.atomic_write import write_atomically, write_png
from inference.cli.results.findings_file import FindingsFile, Format, Row, success
from inference.cli.results.folder_lock import locked
from inference.cli.results.volume_files import VolumeFiles
from inference.cli.scans.readers import result_path
from inference.cli.scans.sources import MADE_BY, Source
from inference.ensemble import Ensemble, Prediction
from inference.errors import ResultsError, ScanError
from inference.report.description import describe
from inference.report.overlay import draw_overlay
from inference.volumes.volume_scan import VolumeScan


class Results:
    """Masks, overlays and findings of many scans.

    A scan is done once its row is there, which is written after its pictures, and these are whole or
    absent: so that a run may be killed at any moment, and resumed. The row has a fingerprint of the scan's
    content and of what segmented it: another scan of the same name is not done.
    """

    def __init__(
        self,
        folder: Path,
        *,
        findings_format: Format = "csv",
        overlays: bool = True,
        volume_files: VolumeFiles | None = None,
    ) -> None:
        self.folder = folder
        self.volume_files = volume_files or VolumeFiles()
        self.overlays = overlays
        self.findings = FindingsFile(folder, findings_format)
        self.identity: dict[str, Any] = {}

    @contextmanager
    def alone(self) -> Generator[None]:
        """Make the folder and keep other runs out of it; raises `ResultsError` where one is in it already."""
        with ExitStack() as stack:
            with self._writing():
                self.folder.mkdir(parents=True, exist_ok=True)
                stack.enter_context(locked(self.folder))
            yield

    def begin(self, ensemble: Ensemble, sources: list[Source], *, resume: bool) -> list[Source]:
        """Prepare the folder and return the scans that are still to do, of which nothing is left in it.

        Without `resume` that is all of them, and the findings begin anew. Raises `ScanError` where the
        earlier results are of other folds or of another way to run them, or where files that no run has
        made would be overwritten.
        """
        self.identity = self._identity(ensemble)
        rows = self.findings.read() if resume else []
        made_by = self.folder / MADE_BY
        if rows and _read_json(made_by) != self.identity:
            raise ScanError(
                f"the results in {self.folder} were made by other folds or settings ({made_by}): "
                "leave out --resume, or name another --out"
            )
        self._spare_what_is_not_ours(sources)
        done = {row["scan"]: row["fingerprint"] for row in rows if not row["error"]}
        to_do = [source for source in sources if not self._is_done(source, done)]
        again = {source.name for source in to_do} | {source.listed for source in to_do}
        kept = [row for row in rows if not again & {row["scan"], result_path(row["scan"])}]
        with self._writing():
            # in this order, so that whenever it is cut off no row stands beside what it is not of
            self.findings.start(kept)
            write_atomically(made_by, json.dumps(self.identity, indent=1).encode())
            for path in (path for source in to_do for path in self._left(source)):
                path.unlink()
        return to_do

    def keep(
        self, source: Source, prediction: Prediction, digest: str | None, volume: VolumeScan | None = None
    ) -> Row:
        """Write a scan's mask and overlay, and return the row that is to follow them.

        `digest` is of the content that was read. Of a volume, also the files that were asked for, and
        its findings in units. Raises `ResultsError`.
        """
        found = describe(prediction, volume)
        fingerprint = self._fingerprint(digest)
        made = self.volume_files.made_of(volume, prediction.mask, self._stem(source), fingerprint)
        overlay = draw_overlay(prediction.scan, prediction.mask, found.lesions) if self.overlays else None
        row = success(source.listed, found, fingerprint, made.warnings)
        with self._writing():
            self._stem(source).parent.mkdir(parents=True, exist_ok=True)
            prediction.save_mask(self.mask_path(source))
            if overlay is not None:
                write_png(self.overlay_path(source), overlay)
            for path, content in made.files.items():
                write_atomically(path, content)
        return row

    def add(self, row: Row) -> None:
        """Write a row to the findings; raises `ResultsError`."""
        with self._writing():
            self.findings.add(row)

    def mask_path(self, source: Source) -> Path:
        """Return where a scan's mask goes."""
        return self.folder / f"{source.name}_mask.png"

    def overlay_path(self, source: Source) -> Path:
        """Return where a scan's overlay goes."""
        return self.folder / f"{source.name}_overlay.png"

    def volume_paths(self, source: Source) -> list[Path]:
        """Return where the files go that are written of a volume, in their order."""
        return self.volume_files.paths(self._stem(source))

    def _stem(self, source: Source) -> Path:
        return self.folder / source.name

    def _identity(self, ensemble: Ensemble) -> dict[str, Any]:
        """Return what results depend on beside the scan, as it is read from JSON again."""
        classifier = None if ensemble.classifier is None else ensemble.classifier.model_dump(mode="json")
        identity = ensemble.identity() | {"classifier": classifier} | self.volume_files.identity()
        read_again: dict[str, Any] = json.loads(json.dumps(identity))
        return read_again

    def _fingerprint(self, digest: str | None) -> str | None:
        """Return what tells a scan's content and what segmented it from all others, if there is such."""
        if digest is None:
            return None
        return hashlib.sha256(json.dumps([digest, self.identity], sort_keys=True).encode()).hexdigest()

    def _is_done(self, source: Source, done: dict[str, str | None]) -> bool:
        """Say whether a scan's row and pictures are there, and are this scan's."""
        pictures = [self.mask_path(source), *([self.overlay_path(source)] if self.overlays else [])]
        pictures += self.volume_paths(source)
        try:
            return (
                source.listed in done
                and all(os.path.exists(picture) for picture in pictures)
                and (fingerprint := self._fingerprint(source.digest())) is not None
                and fingerprint == done[source.listed]
            )
        except OSError:
            return False

    def _left(self, source: Source) -> list[Path]:
        """Return what is in the folder under the names of a scan's results, whichever run asked for it."""
        every_kind = VolumeFiles(dicom_seg=True, nifti=True).paths(self._stem(source))
        names = [self.mask_path(source), self.overlay_path(source), *every_kind]
        return [path for path in names if os.path.lexists(path)]

    def _spare_what_is_not_ours(self, sources: list[Source]) -> None:
        """Raise `ScanError` where results would take the place of a scan, or of files of somebody's own."""
        is_ours = (self.folder / MADE_BY).exists()
        scans = {source.path.resolve() for source in sources}
        for path in (path for source in sources for path in self._left(source)):
            if not is_ours or path.resolve() in scans:
                raise ScanError(
                    f"{path} is none of this command's results, and would be overwritten: name another --out"
                )

    @contextmanager
    def _writing(self) -> Generator[None]:
        """Tell a folder that cannot be written from a scan that cannot be read."""
        try:
            yield
        except OSError as error:
            if error.errno == errno.ENAMETOOLONG:  # which is the scan's fault
                raise
            raise ResultsError(
                f"{self.folder} cannot be written ({error.strerror or error}): mend that, and go on "
                "with --resume"
            ) from error


def _read_json(path: Path) -> object:
    """Return what a JSON file says, or None where it says nothing."""
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
