"""`python -m inference segment --ray`: the scans of folders and object stores, on a whole cluster."""

import json
import logging
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError

from inference.cli.console import INTERRUPTED, progress_bar, tell
from inference.cli.ray.findings_parquet import FILE, FindingsParquet
from inference.cli.ray.object_storage import StorageFolder
from inference.cli.ray.stored_scans import StoredScan, find_stored_scans
from inference.cli.ray.worker import Task, Worker, mask_name, overlay_name
from inference.cli.results.findings_file import Row
from inference.cli.results.volume_files import VolumeFiles
from inference.cli.scans.sources import MADE_BY
from inference.errors import ResultsError, ScanError, SegmentationError, SettingsError
from inference.settings import Settings, read_settings
from inference.weights.ensemble_file import read_folds

SCANS_A_BATCH = 8
"""Which a worker is sent at a time, and begins again after another was lost at them."""

MOST_BLOCKS = 20_000
GPU_SHARE = 0.5
RAISED = re.compile(rf"\b{ResultsError.__name__}: (.+)")


@dataclass(frozen=True)
class Resources:
    """What an ensemble is given: cores, and a share of a GPU (None: half of one, where there are any)."""

    cpus: float = 2
    gpus: float | None = None

    def of(self, machines: Sequence[dict[str, float]]) -> tuple[dict[str, float], int]:
        """Return what one worker asks Ray for, and for how many of them the machines have room.

        Raises `SettingsError` where none has.
        """
        has_gpus = any(machine.get("GPU") for machine in machines)
        gpus = GPU_SHARE * has_gpus if self.gpus is None else self.gpus
        wanted = {name: of for name, of in (("CPU", self.cpus), ("GPU", gpus)) if of > 0}
        if not wanted:
            raise SettingsError("--ray-cpus and --ray-gpus cannot both be 0")
        most = sum(math.floor(min(of.get(name, 0) / wanted[name] for name in wanted)) for of in machines)
        if most < 1:
            raise SettingsError(
                f"no machine of the Ray cluster has room for --ray-cpus {self.cpus:g} and --ray-gpus "
                f"{gpus:g}: ask for less, or add a machine"
            )
        return {"num_cpus": self.cpus, "num_gpus": gpus}, most


def segment_on_ray(
    places: Sequence[str],
    out: str,
    address: str,
    resources: Resources,
    *,
    volume_files: VolumeFiles,
    overlays: bool,
    resume: bool,
) -> int:
    """Segment all scans of the places, and return the exit status: 1 where one could not be.

    Raises `SegmentationError` with one sentence where the run cannot begin or go on.
    """
    settings = read_settings()
    scans = find_stored_scans(places)
    store = StorageFolder(out)
    task = Task(_absolute(settings), store, _identity(settings, volume_files), overlays, volume_files)
    findings = FindingsParquet(store)
    done = _begin(task, findings, scans, resume=resume)
    counts = _Counts()
    try:
        with _on(address), progress_bar() as progress:
            rows = _rows(task, scans, done, resources)
            for name, row in progress.track(rows, total=len(scans), description="segmenting"):
                counts.add(row)
                if row is not None:
                    _tell(name, row)
                    findings.add(row)
        findings.finish()
    except KeyboardInterrupt:
        findings.flush()
        tell(f"stopped after {counts.all} of {len(scans)} scans: --resume goes on from there")
        return INTERRUPTED
    except SegmentationError:
        with suppress(OSError):  # what is known is kept, where that can still be written
            findings.flush()
        raise
    before = f", {counts.unchanged} were done before" if resume else ""
    tell(
        f"{counts.written - counts.failed} of {len(scans) - counts.unchanged} scans segmented{before}: "
        f"{out.rstrip('/')}/{FILE}"
    )
    return 1 if counts.failed else 0


@dataclass
class _Counts:
    written: int = 0
    failed: int = 0
    unchanged: int = 0

    @property
    def all(self) -> int:
        return self.written + self.unchanged

    def add(self, row: Row | None) -> None:
        self.written += row is not None
        self.failed += row is not None and bool(row["error"])
        self.unchanged += row is None


def _rows(
    task: Task, scans: list[StoredScan], done: dict[str, str], resources: Resources
) -> Iterator[tuple[str, Row | None]]:
    """Yield each scan's name and row as they come, None for one whose results are there already.

    Ray sends the batches of a worker that was lost to others. What had been received before does not come
    again, and a name that did all the same would be passed over.
    """
    options, most = resources.of([node["Resources"] for node in ray.nodes() if node["Alive"]])
    items = [{"scan": scan, "fingerprint": done.get(scan.name)} for scan in scans]
    blocks = min(math.ceil(len(items) / SCANS_A_BATCH), MOST_BLOCKS)
    results = ray.data.from_items(items, override_num_blocks=blocks).map_batches(
        Worker,
        fn_constructor_args=(task,),
        batch_size=SCANS_A_BATCH,
        batch_format="numpy",
        compute=ray.data.ActorPoolStrategy(min_size=1, max_size=min(most, blocks)),
        **options,
    )
    seen: set[str] = set()
    for result in results.iter_rows():
        if result["scan"] not in seen:
            seen.add(result["scan"])
            yield result["scan"], json.loads(result["row"]) if result["row"] else None


@contextmanager
def _on(address: str) -> Iterator[None]:
    """Join a cluster for a while; what goes wrong with it ends the run with a sentence."""
    try:
        with ray.init(None if address == "local" else address, log_to_driver=False, logging_level="ERROR"):
            ray.data.DataContext.get_current().enable_progress_bars = False
            logging.getLogger("ray.data").setLevel(logging.CRITICAL)  # what goes wrong is told here
            yield
    except ConnectionError as error:
        raise SettingsError(f"there is no Ray cluster at {address}: {' '.join(str(error).split())}") from None
    except RayError as error:
        raise _reason(error) from None


def _reason(error: RayError) -> ResultsError:
    """Return what a worker has raised, in a sentence; Ray keeps it as the text of a traceback."""
    if raised := RAISED.findall(str(error)):
        return ResultsError(raised[-1])
    kind = type(error).__name__
    return ResultsError(f"the Ray cluster gave up ({kind}): see its logs, and go on with --resume")


def _begin(task: Task, findings: FindingsParquet, scans: list[StoredScan], *, resume: bool) -> dict[str, str]:
    """Prepare the folder of results and return what is done there, by fingerprint.

    Raises `ScanError` where the earlier results are of other folds or of another way to run them, or where
    files that no run has made would be overwritten.
    """
    made_by = task.out.read_if_there(MADE_BY)
    if made_by is None:
        there = {file.name for file in task.out.files()} if task.out.exists() else set()
        own = there & {name for scan in scans for name in (mask_name(scan), overlay_name(scan))}
        if own:
            raise ScanError(
                f"{min(own)} in {task.out.place} is none of this command's results, and would be "
                "overwritten: name another --out"
            )
    elif resume and json.loads(made_by) != task.identity:
        raise ScanError(
            f"the results in {task.out.place} were made by other folds or settings ({MADE_BY}): "
            "leave out --resume, or name another --out"
        )
    try:
        done = findings.start(resume=resume)
        task.out.write(MADE_BY, json.dumps(task.identity, indent=1).encode())
    except OSError as error:
        raise ResultsError(f"{task.out.place} cannot be written ({error.strerror or error})") from error
    return done


def _identity(settings: Settings, volume_files: VolumeFiles) -> dict[str, Any]:
    """Return what results depend on beside the scan: not the engine, which may be another on each machine."""
    folds, listed = read_folds(settings)
    classifier = None if listed.classifier is None else listed.classifier.model_dump(mode="json")
    blank_below = listed.blank_below if settings.blank_below is None else settings.blank_below
    identity = {
        "folds": [{"name": fold.name, "sha256": fold.sha256} for fold in folds],
        "tta_ops": list((settings.tta_ops or listed.tta_ops) if settings.tta else ("identity",)),
        "threshold": settings.pred_threshold or listed.threshold,
        "blank_below": blank_below,
        "classifier": classifier,
    }
    read_again: dict[str, Any] = json.loads(json.dumps(identity | volume_files.identity()))
    return read_again


def _absolute(settings: Settings) -> Settings:
    """Return the settings with folders that mean the same wherever a worker was started."""
    folders = {name: getattr(settings, name).resolve() for name in ("models_dir", "model_cache_dir")}
    return settings.model_copy(update=folders)


def _tell(name: str, row: Row) -> None:
    for warning in row["warnings"] or ():
        tell(f"{name}: warning: {warning}")
    if row["error"]:
        tell(f"{name}: {row['error']}")
