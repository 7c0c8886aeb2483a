"""One W&B artifact, fetched in a process of its own: `python -m inference.weights.wandb_download`.

The SDK retries for minutes, and its service can keep a process from ending. A process apart can be
ended at any time, and keeps the SDK out of the memory of the one that serves.

It writes to `report.jsonl` in its scratch folder what it learns, a JSON object a line:
`{"found": ...}` the artifact, then `{"done": true}` or `{"error": sentence, "unreachable": bool}`.
"""

import json
import logging
import os
import shutil
import sys
import threading
from pathlib import Path, PurePosixPath
from typing import Any

from inference.artifact_names import ArtifactName, parse_artifact_name
from inference.weights.activation_ranges import RANGES_SUFFIX
from inference.weights.artifact_cache import Artifact, ArtifactCache, ArtifactFile
from inference.weights.download_process import FILES_DIR, REPORT_FILE
from inference.weights.ensemble_file import ENSEMBLE_FILE
from inference.weights.fold_file import CHECKPOINT_SUFFIXES
from inference.weights.wandb_errors import RefusalError, explain

ATTEMPTS = 4


class Report:
    """Tells the process that waits what happens here."""

    def __init__(self, scratch: Path) -> None:
        self.path = scratch / REPORT_FILE

    def say(self, **what: Any) -> None:
        """Add a line."""
        with self.path.open("a") as file:
            file.write(json.dumps(what) + "\n")


class Patience(logging.Handler):
    """Reads urllib3's log, and ends the process where a file is answered with an error again and again.

    The SDK tries a file 17 times over 20 minutes, and nothing that it offers makes it try less.
    """

    def __init__(self, name: ArtifactName, report: Report) -> None:
        super().__init__(logging.DEBUG)
        self.artifact = name
        self.report = report
        self.attempts = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Count an answer, where the line is about one, and its status says that the server has failed."""
        status = record.args[6] if isinstance(record.args, tuple) and len(record.args) > 6 else None
        if isinstance(status, int) and status >= 500:
            self.attempts += 1
        if self.attempts == ATTEMPTS:
            sentence = (
                f"the file of the artifact {self.artifact} cannot be had (HTTP {status}): start again later"
            )
            self.report.say(error=sentence, unreachable=True)
            os._exit(1)


def fetch(name: ArtifactName, cache: ArtifactCache, scratch: Path, report: Report) -> None:
    """Ask for an artifact and download what is used of it, where the cache has not got it.

    The key and the server are those of the environment; no run is created.
    """
    import wandb

    found = wandb.Api().artifact(str(name))
    artifact, paths = choose_files(name.pinned(found.version), found.digest, found.manifest.entries)
    artifact = artifact.model_copy(update=_scores(found.metadata))
    report.say(found=artifact.model_dump())
    if cache.holds(artifact):
        return
    for file, path in zip(artifact.files, paths, strict=True):
        found.download(root=str(scratch), path_prefix=path, skip_cache=True)
        target = scratch / FILES_DIR / file.name
        target.parent.mkdir(exist_ok=True)
        (scratch / path).replace(target)


def choose_files(name: ArtifactName, digest: str, entries: dict[str, Any]) -> tuple[Artifact, list[str]]:
    """Return the files of a manifest that are used, and their paths: the one checkpoint, and what is its.

    Raises `RefusalError` where there is not exactly one checkpoint, or it lies elsewhere.
    """
    checkpoints = sorted(path for path in entries if PurePosixPath(path).suffix in CHECKPOINT_SUFFIXES)
    if len(checkpoints) != 1:
        found = ", ".join(checkpoints) or "none"
        raise RefusalError(
            f"the artifact {name} must hold exactly one checkpoint, but holds {found}: "
            "publish each fold as an artifact of its own"
        )
    checkpoint = PurePosixPath(checkpoints[0])
    beside = (str(checkpoint.with_suffix("")) + RANGES_SUFFIX, str(checkpoint.with_name(ENSEMBLE_FILE)))
    paths = [checkpoints[0], *(path for path in beside if path in entries)]
    elsewhere = [path for path in paths if entries[path].ref is not None]
    if elsewhere:
        raise RefusalError(
            f"the artifact {name} only refers to {entries[elsewhere[0]].ref}: publish the file itself"
        )
    files = (
        ArtifactFile(
            name=PurePosixPath(path).name,
            size=entries[path].size,
            digest=entries[path].digest,
            algorithm=entries[path].digest_algorithm().value.removeprefix("MANIFEST_"),
        )
        for path in paths
    )
    return Artifact(name=str(name), digest=digest, files=tuple(files)), paths


def _scores(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return the out-of-fold Dice that an artifact was published with, and over how many patients."""
    dice, patients = (metadata.get(name) for name in ("out_of_fold_dice", "out_of_fold_patients"))
    return {
        "out_of_fold_dice": dice if isinstance(dice, float) else None,
        "out_of_fold_patients": patients if isinstance(patients, int) else None,
    }


def end_with_parent(scratch: Path) -> None:
    """End this process, and remove its scratch folder, as soon as the one that started it is gone."""

    def wait() -> None:
        sys.stdin.read()
        shutil.rmtree(scratch, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def main(name: str, model_cache_dir: str, scratch_dir: str) -> None:
    """Fetch one artifact into a scratch folder, and end without the SDK's exit hooks."""
    scratch = Path(scratch_dir)
    end_with_parent(scratch)
    report = Report(scratch)
    wanted = parse_artifact_name(name)
    transport = logging.getLogger("urllib3.connectionpool")
    transport.setLevel(logging.DEBUG)
    transport.addHandler(Patience(wanted, report))
    try:
        fetch(wanted, ArtifactCache(Path(model_cache_dir)), scratch, report)
        report.say(done=True)
    except Exception as error:
        report.say(**explain(error, wanted))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
