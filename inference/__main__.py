"""`python -m inference`: segment scans without a server, and look after the folds."""

import csv
import sys
from pathlib import Path
from typing import Annotated

import typer
from PIL import Image
from rich.console import Console
from rich.progress import track

from inference.ensemble import Ensemble, load_ensemble
from inference.errors import ScanError, SegmentationError
from inference.export import export_converted
from inference.listing import folds_table, list_folds
from inference.overlay import draw_overlay
from inference.settings import read_settings
from utils import decode_image

SUFFIXES = (".png", ".jpg", ".jpeg")
DERIVED = ("_label", "_mask", "_overlay")
FINDINGS_FILE = "findings.csv"
COLUMNS = (
    "scan",
    "tumor_detected",
    "tumor_probability",
    "tumor_area_px",
    "tumor_fraction",
    "lesions",
    "error",
)

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
errors = Console(stderr=True)


@app.callback()
def commands() -> None:
    """Segment MIP-PET scans with the ensemble that the service runs."""


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(help="Where the converted folds and ensemble.json go.")],
) -> None:
    """Make a folder of the same folds that a machine without PyTorch serves, with MODELS_DIR set to it."""
    listed = export_converted(read_settings(), folder)
    errors.print(f"{len(listed.folds)} folds for OpenVINO in {folder}: serve them with MODELS_DIR={folder}")


@app.command()
def segment(
    paths: Annotated[list[Path], typer.Argument(help="Scans (PNG or JPEG), or folders of them.")],
    out: Annotated[Path, typer.Option(help="Where masks, overlays and findings.csv go.")] = Path("results"),
) -> None:
    """Write a mask and an overlay for every scan, and one CSV of what was found."""
    scans = _scans(paths)
    out.mkdir(parents=True, exist_ok=True)
    ensemble = load_ensemble(read_settings())
    with (out / FINDINGS_FILE).open("w", newline="", buffering=1) as file:
        findings = csv.DictWriter(file, COLUMNS)
        findings.writeheader()
        failed = 0
        for path in track(scans, description="segmenting", console=errors):
            try:
                findings.writerow({"scan": path.name} | _segment(ensemble, path, out))
            except (ScanError, OSError) as error:
                failed += 1
                findings.writerow({"scan": path.name, "error": str(error)})
                errors.print(f"{path}: {error}", markup=False, highlight=False, soft_wrap=True)
    errors.print(f"{len(scans) - failed} of {len(scans)} scans segmented: {out / FINDINGS_FILE}")
    if failed:
        raise typer.Exit(1)


@app.command()
def weights(
    verify: Annotated[
        bool, typer.Option("--verify", help="Load each fold too, to see whether it is this network's.")
    ] = False,
) -> None:
    """Show which folds the service would start with: from where, hashes, preparation, Dice."""
    rows = list_folds(read_settings(), verify=verify)
    Console().print(folds_table(rows))
    faults = [row.fault for row in rows if row.fault]
    for fault in faults:
        errors.print(f"error: {fault}", markup=False, highlight=False, soft_wrap=True)
    if faults:
        raise typer.Exit(1)
    tensors = "their tensors this network's" if verify else "their tensors not looked at (--verify)"
    errors.print(f"{len(rows)} folds: their files are as listed, {tensors}", soft_wrap=True)


def _scans(paths: list[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += _scans_in(path)
        elif path.exists():
            found.append(path)
        else:
            raise ScanError(f"{path} does not exist")
    if not found:
        raise ScanError(f"there is no PNG or JPEG file in {', '.join(map(str, paths))}")
    stems = [path.stem for path in found]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise ScanError(
            f"several scans are named {twice[0]}, and so would their masks be: segment them apart"
        )
    return found


def _scans_in(folder: Path) -> list[Path]:
    """Return a folder's pictures without those that belong to a scan beside them: label, mask, overlay."""
    pictures = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    stems = {path.stem for path in pictures}
    derived = {stem + kind for stem in stems for kind in DERIVED}
    return [path for path in pictures if path.stem not in derived]


def _segment(ensemble: Ensemble, path: Path, out: Path) -> dict[str, object]:
    scan = decode_image(path.read_bytes())
    prediction = ensemble.predict(scan)
    Image.fromarray(prediction.mask).save(out / f"{path.stem}_mask.png")
    Image.fromarray(draw_overlay(scan, prediction.mask)).save(out / f"{path.stem}_overlay.png")
    return {
        "tumor_detected": prediction.tumor_detected,
        "tumor_probability": round(prediction.tumor_probability, 4),
        "tumor_area_px": prediction.tumor_area_px,
        "tumor_fraction": round(prediction.tumor_area_px / prediction.mask[..., 0].size, 6),
        "lesions": len(prediction.lesions()),
    }


def main() -> int:
    """Run a command; what the user can mend ends in one sentence, not in a traceback."""
    try:
        app()
    except (SegmentationError, OSError) as error:
        errors.print(f"error: {error}", markup=False, highlight=False, soft_wrap=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
