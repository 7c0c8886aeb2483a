"""`python -m inference segment`."""

import sys
from collections.abc import Generator
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from inference.cli.console import INTERRUPTED, progress_bar, tell
from inference.cli.ray.installation import require_ray
from inference.cli.results.findings_file import Format, Row, failure, reason_of
from inference.cli.results.results_folder import Results
from inference.cli.results.volume_files import VolumeFiles
from inference.cli.scans.parallel_map import EXTRA_SCANS, parallel_map
from inference.cli.scans.sources import Source, find_sources
from inference.ensemble import Ensemble, load_ensemble
from inference.errors import ResultsError, SettingsError
from inference.settings import read_settings
from inference.volumes.grey_scale import SUV_MAX
from inference.volumes.options import VolumeOptions, parse_spacing

FindingsFormat = Annotated[Format, typer.Option("--format", help="Of the findings: one CSV, or JSON Lines.")]
Overlays = Annotated[
    bool, typer.Option("--overlay/--no-overlay", help="Whether pictures to look at are drawn too.")
]


def segment(
    paths: Annotated[
        list[str],
        typer.Argument(
            help="Scans (PNG or JPEG), PET volumes (NIfTI, DICOM, NumPy), folders of them, globs in quotes, "
            "or - for standard input.",
            show_default=False,
        ),
    ],
    out: Annotated[str, typer.Option(help="Where masks, overlays and findings go.")] = "results/segment",
    resume: Annotated[
        bool, typer.Option("--resume", help="Leave out the scans that are done in --out already.")
    ] = False,
    findings_format: FindingsFormat = "csv",
    overlays: Overlays = True,
    spacing: Annotated[
        str | None, typer.Option(help="Of a NumPy volume: mm along its three axes, such as 4,2.5,2.5.")
    ] = None,
    orientation: Annotated[
        str | None,
        typer.Option(
            help="Of a volume that does not say it: where its axes point; an array's are SPL, feet to head, "
            "front to back, right to left."
        ),
    ] = None,
    suv_max: Annotated[float, typer.Option(help="Of volumes: the SUV that is drawn black.")] = SUV_MAX,
    dicom_seg: Annotated[
        bool, typer.Option("--dicom-seg", help="Of DICOM series: write MIP and mask as DICOM too.")
    ] = False,
    nifti: Annotated[
        bool, typer.Option("--nifti", help="Of volumes: write the mask as NIfTI too, where it lies.")
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="On a Ray cluster: its address, auto for this machine's, or local to start one. Paths and "
            "--out may be addresses too, such as s3://bucket/scans, folders are searched to any depth, and "
            "the findings are findings.parquet.",
        ),
    ] = None,
    ray_cpus: Annotated[
        float, typer.Option(help="On a Ray cluster: how many cores an ensemble is given.")
    ] = 2,
    ray_gpus: Annotated[
        float | None,
        typer.Option(
            help="On a Ray cluster: which share of a GPU it is given; by default half, where there are GPUs.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Write a mask and an overlay for every scan, and one file of what was found.

    - `python -m inference segment scan.png`: one scan
    - `python -m inference segment scans/ --out masks`: those of a folder
    - `python -m inference segment "data/**/*.png"`: what a glob fits, in folders below too
    - `find data -name "*.png" | python -m inference segment -`: a list of files (`-print0` too)
    - `cat scan.png | python -m inference segment -`: a scan, whose results are named `stdin`
    - `python -m inference segment scans/ --out masks --resume`: what a run that was cut off has left
    - `python -m inference segment series/ --dicom-seg`: a PET series in DICOM, back as DICOM Segmentation
    - `python -m inference segment suv.nii.gz --nifti`: a volume in SUV
    - `python -m inference segment /mnt/scans --out /mnt/masks --ray auto`: on all machines of a Ray cluster

    A mask has its scan's size, and is white where there is tumour. The findings have a line a scan: whether
    there is tumour and how probable, its area and lesions, how far the folds disagree, what is unusual about
    the scan, or why it could not be segmented. Such a scan stops no other, but the exit status is then 1.
    """
    options = VolumeOptions(parse_spacing(spacing), orientation, suv_max)
    volume_files = VolumeFiles(options, dicom_seg=dicom_seg, nifti=nifti)
    if ray is not None:
        if findings_format != "csv":
            raise SettingsError("--format is for one machine: on a Ray cluster the findings are Parquet")
        require_ray("inference segment")
        from inference.cli.ray.segment import Resources, segment_on_ray

        resources = Resources(ray_cpus, ray_gpus)
        raise typer.Exit(
            segment_on_ray(
                paths, out, ray, resources, volume_files=volume_files, overlays=overlays, resume=resume
            )
        )
    sources = find_sources(paths, _standard_input)
    results = Results(
        Path(out), findings_format=findings_format, overlays=overlays, volume_files=volume_files
    )
    ensemble = load_ensemble(read_settings())
    if segment_into(results, ensemble, sources, resume=resume):
        raise typer.Exit(1)


def segment_into(results: Results, ensemble: Ensemble, sources: list[Source], *, resume: bool) -> int:
    """Segment scans into a folder of results, tell of it, and return how many could not be segmented."""
    with results.alone():
        return _segment_into(results, ensemble, sources, resume=resume)


def _segment_into(results: Results, ensemble: Ensemble, sources: list[Source], *, resume: bool) -> int:
    to_do = results.begin(ensemble, sources, resume=resume)
    failed = written = 0
    try:
        with closing(_rows(ensemble, to_do, results)) as rows:
            for row in rows:
                results.add(row)
                written += 1
                failed += bool(row["error"])
    except KeyboardInterrupt:
        tell(f"stopped after {written} of {len(to_do)} scans: --resume goes on from there")
        raise typer.Exit(INTERRUPTED) from None
    before = f", {len(sources) - len(to_do)} were done before" if resume else ""
    tell(f"{written - failed} of {len(to_do)} scans segmented{before}: {results.findings.path}")
    return failed


def segment_sources(
    ensemble: Ensemble, sources: list[Source], results: Results
) -> Generator[tuple[Source, Future[Row]]]:
    """Segment scans, each read and its pictures written while others are computed, and yield their rows."""

    def work(source: Source) -> Row:
        digest = source.digest()  # before the scan is read, so that a change in between is seen
        volume = source.read_volume(results.volume_files.options)
        scan = source.read() if volume is None else volume.grey
        return results.keep(source, ensemble.predict(scan), digest, volume)

    return parallel_map(work, sources, at_once=ensemble.engine.parallel_passes + EXTRA_SCANS)


def _rows(ensemble: Ensemble, sources: list[Source], results: Results) -> Generator[Row]:
    """Yield the row of every scan, and tell of its warnings or why it failed, beside a progress bar."""
    with progress_bar() as progress, closing(segment_sources(ensemble, sources, results)) as segmented:
        for source, done in progress.track(segmented, total=len(sources), description="segmenting"):
            row = _row(source, done)
            for warning in row["warnings"] or ():
                tell(f"{source.path}: warning: {warning}")
            yield row


def _row(source: Source, done: Future[Row]) -> Row:
    """Return a scan's row; whatever went wrong with one scan, the next may be well.

    Raises `ResultsError`: where one's results cannot be written, nobody's can.
    """
    try:
        return done.result()
    except ResultsError:
        raise
    except Exception as error:
        reason = reason_of(error, source.path)
    tell(f"{source.path}: {reason}")
    return failure(source.listed, reason)


def _standard_input() -> bytes:
    return b"" if sys.stdin is None else sys.stdin.buffer.read()
