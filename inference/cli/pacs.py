"""`python -m inference pacs`: find PET series in a PACS, segment one, and store what was found."""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inference.cli.console import printable, progress_bar, tell
from inference.cli.results.results_folder import Results
from inference.cli.results.volume_files import VolumeFiles
from inference.cli.scans.fetched_series import FetchedSeries, fetched_series
from inference.cli.segment import FindingsFormat, Overlays, segment_into
from inference.ensemble import load_ensemble
from inference.errors import PacsError
from inference.settings import read_settings
from inference.volumes.dicom.headers import quiet
from inference.volumes.grey_scale import SUV_MAX
from inference.volumes.lazy_import import IMPORT_LOCK
from inference.volumes.options import VolumeOptions
from inference.volumes.pacs.access import Access, read_access

if TYPE_CHECKING:
    from dicomweb_client.web import DICOMwebClient

DAY = re.compile(r"\d{8}(-\d{8})?")
COLUMNS = ("study", "series", "date", "images", "description")

pacs = typer.Typer(
    help="""Segment PET series of a hospital's archive (PACS) over DICOMweb.

The password of `--user` is read from `PACS_PASSWORD`, a bearer token from `PACS_TOKEN`: from the environment
alone, so that no list of processes shows them.
""",
    no_args_is_help=True,
    rich_markup_mode="markdown",
)

Url = Annotated[
    str,
    typer.Argument(
        help="The PACS' DICOMweb service, such as https://pacs.example.org/dicom-web.", show_default=False
    ),
]
User = Annotated[str | None, typer.Option(help="Who asks; the password is in PACS_PASSWORD.")]
CaBundle = Annotated[
    Path | None,
    typer.Option(
        exists=True, dir_okay=False, help="The certificates (PEM) that the PACS' own is checked against."
    ),
]
Timeout = Annotated[
    float, typer.Option(min=1, max=600, help="How many seconds the PACS may be silent before it is given up.")
]


@pacs.command()
def query(
    url: Url,
    study: Annotated[str | None, typer.Option(help="Of one study: its UID.")] = None,
    patient: Annotated[str | None, typer.Option(help="Of one patient: the ID in the PACS.")] = None,
    date: Annotated[
        str | None, typer.Option(help="Of a day, 20240305, or of several: 20240301-20240331.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many studies are looked at.")] = 100,
    user: User = None,
    ca_bundle: CaBundle = None,
    timeout: Timeout = 30,
) -> None:
    """List PET series: the UIDs of study and series, the date, how many images, the description.

    - `python -m inference pacs query https://pacs.example.org/dicom-web --date 20240301-20240331 --user me`

    A patient is asked for by ID, and neither name nor ID is ever shown.
    """
    if study is None and patient is None and date is None:
        raise PacsError("nothing is asked for: give --study, --patient or --date")
    if study is not None and (patient is not None or date is not None):
        raise PacsError("--study names the study already: leave out --patient and --date")
    if date is not None and not DAY.fullmatch(date):
        raise PacsError("--date is neither a day, 20240305, nor a range, 20240301-20240331")
    client = _open(url, user, ca_bundle, timeout)
    from inference.volumes.pacs.series import find_series, series_of_study

    if study is not None:
        found, more = series_of_study(client, study), False
    else:
        found, more = find_series(client, patient=patient, dates=date, limit=limit)
    rows = [
        (one.study_uid, one.uid, one.date, "" if one.images is None else str(one.images), one.description)
        for one in found
    ]
    _print_columns([COLUMNS, *rows])
    tell(f"{len(found)} PET series")
    if more:
        tell(f"there are more than {limit} studies: narrow the search, or give a larger --limit")


@pacs.command()
def segment(
    url: Url,
    study: Annotated[str, typer.Argument(metavar="STUDY_UID", help="The study's UID.", show_default=False)],
    series: Annotated[
        str | None, typer.Option(help="The PET series' UID, where the study has several.")
    ] = None,
    store: Annotated[
        bool, typer.Option("--store/--no-store", help="Whether MIP and mask are stored in the study.")
    ] = True,
    out: Annotated[Path, typer.Option(help="Where masks, overlays and findings go.")] = Path("results/pacs"),
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the findings that are in --out, and compute none again.")
    ] = False,
    findings_format: FindingsFormat = "csv",
    overlays: Overlays = True,
    suv_max: Annotated[float, typer.Option(help="The SUV that is drawn black.")] = SUV_MAX,
    user: User = None,
    ca_bundle: CaBundle = None,
    timeout: Timeout = 30,
) -> None:
    """Fetch a study's PET series, segment it as `segment --dicom-seg` does, and store MIP and mask.

    - `python -m inference pacs segment https://pacs.example.org/dicom-web STUDY_UID --user me`
    - `python -m inference pacs segment https://pacs.example.org/dicom-web STUDY_UID --no-store`: look first

    The MIP is stored as a Secondary Capture, the mask as a Segmentation of it. Both have UIDs that follow
    from the images, folds and settings: to run the command twice stores nothing twice, and completes a
    store that broke off.
    """
    volume_files = VolumeFiles(VolumeOptions(suv_max=suv_max), dicom_seg=True)
    results = Results(out, findings_format=findings_format, overlays=overlays, volume_files=volume_files)
    client = _open(url, user, ca_bundle, timeout)
    fetched = _fetch(client, study, series)
    if segment_into(results, load_ensemble(read_settings()), [fetched], resume=resume):
        raise typer.Exit(1)
    if store:
        _store(client, results.volume_paths(fetched))


def _open(url: str, user: str | None, ca_bundle: Path | None, timeout_s: float) -> "DICOMwebClient":
    access: Access = read_access(url, user, ca_bundle, timeout_s, os.environ)
    if access.sends_secret_in_clear:
        tell("warning: password or token go over the network unencrypted: use the PACS' https address")
    from inference.volumes.pacs.client import open_client  # imports requests

    return open_client(access)


def _fetch(client: "DICOMwebClient", study_uid: str, series_uid: str | None) -> FetchedSeries:
    from inference.volumes.pacs.fetching import fetch_images, list_images
    from inference.volumes.pacs.series import choose_series, series_of_study

    chosen = choose_series(series_of_study(client, study_uid), series_uid)
    image_uids = list_images(client, chosen)
    with progress_bar() as progress:
        images = progress.track(
            fetch_images(client, chosen, image_uids), total=len(image_uids), description="fetching"
        )
        return fetched_series(chosen.uid, tuple(images))


def _store(client: "DICOMwebClient", paths: list[Path]) -> None:
    with IMPORT_LOCK:
        from pydicom import dcmread

    from inference.volumes.pacs.storing import store_images

    quiet()
    if not all(path.exists() for path in paths):
        raise PacsError("nothing is stored: no DICOM files could be made of the series' headers")
    new = store_images(client, [dcmread(path) for path in paths])
    before = len(paths) - new
    tell(f"{new} objects stored in the study" + (f", {before} were there before" if before else ""))


def _print_columns(rows: list[tuple[str, ...]]) -> None:
    """Print rows in columns as wide as they need, each row a line, whatever the terminal's width."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        line = "  ".join(part.ljust(width) for part, width in zip(row, widths, strict=True))
        typer.echo(printable(line.rstrip()))
