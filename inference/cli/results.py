"""The folder of results: which scans are done in it, and how one more is."""

import json
from pathlib import Path

from inference.cli.findings_file import FindingsFile, Format, Row, describe
from inference.cli.readers import result_name
from inference.cli.sources import Source
from inference.cli.volume_files import VolumeFiles
from inference.ensemble import Ensemble, Prediction
from inference.errors import ScanError
from inference.overlay import draw_overlay
from inference.volumes.scan import VolumeScan
from inference.whole_files import write_png, write_whole

MADE_BY = "made_by.json"


class Results:
    """Masks, overlays and findings of many scans.

    A scan is done once its row is there, which is written after its pictures, and these are whole or
    absent: so that a run may be killed at any moment, and resumed.
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

    def begin(self, ensemble: Ensemble, sources: list[Source], *, resume: bool) -> list[Source]:
        """Prepare the folder and return the scans that are still to do.

        Without `resume` that is all of them, and the findings begin anew. Raises `ScanError` where
        the earlier results are of other folds or of another way to run them.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        rows = self.findings.read() if resume else []
        made_by = self.folder / MADE_BY
        identity = ensemble.identity() | self.volume_files.identity()
        if rows and (not made_by.exists() or json.loads(made_by.read_text()) != identity):
            raise ScanError(
                f"the results in {self.folder} were made by other folds or settings ({made_by}): "
                "leave out --resume, or name another --out"
            )
        written = {row["scan"] for row in rows if not row["error"]}
        to_do = [s for s in sources if s.path.name not in written or not self._has(s)]
        again = {source.name for source in to_do}
        write_whole(made_by, json.dumps(identity, indent=1).encode())
        self.findings.start(row for row in rows if result_name(Path(row["scan"])) not in again)
        return to_do

    def keep(self, source: Source, prediction: Prediction, volume: VolumeScan | None = None) -> Row:
        """Write a scan's mask and overlay, and return the row that is to follow them.

        Of a volume, also the files that were asked for, and its findings in units.
        """
        lesions = prediction.lesions()
        for path, content in self.volume_files.made_of(volume, prediction.mask, self._stem(source)):
            write_whole(path, content)
        prediction.save_mask(self.mask_path(source))
        if self.overlays:
            write_png(self.overlay_path(source), draw_overlay(prediction.scan, prediction.mask, lesions))
        return describe(source.path.name, prediction, lesions, volume)

    def mask_path(self, source: Source) -> Path:
        """Return where a scan's mask goes."""
        return self.folder / f"{source.name}_mask.png"

    def overlay_path(self, source: Source) -> Path:
        """Return where a scan's overlay goes."""
        return self.folder / f"{source.name}_overlay.png"

    def _stem(self, source: Source) -> Path:
        return self.folder / source.name

    def _has(self, source: Source) -> bool:
        """Say whether a scan's pictures are there, and none older than the scan."""
        pictures = [self.mask_path(source), *([self.overlay_path(source)] if self.overlays else [])]
        pictures += self.volume_files.paths(self._stem(source))
        try:
            return min(picture.stat().st_mtime for picture in pictures) >= source.changed_s()
        except OSError:
            return False
