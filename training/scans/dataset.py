"""Scans and labels on disk, in the folder structure that the data set is published in.

patients/imgs/patient_NNN.png   patients/labels/segmentation_NNN.png   controls/imgs/control_NNN.png
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.errors import ScanError, SegmentationError
from inference.preparation import GreyScan, to_grey
from inference.recognition import recognise
from utils import decode_image

DEFAULT_DATA_DIR = Path("data/raw/tumor-segmentation")

Label = npt.NDArray[np.bool_]


class DataError(SegmentationError):
    """The data folder is not as it should be; the message names every file that is at fault."""


@dataclass(frozen=True)
class Case:
    """One scan on disk: a patient with a label, or a control without."""

    name: str
    scan_path: Path
    label_path: Path | None

    @property
    def is_patient(self) -> bool:
        """Say whether the scan has a label."""
        return self.label_path is not None


@dataclass(frozen=True)
class LabelledScan:
    """A scan (H, W) uint8 and its label (H, W) bool; a control's label is empty."""

    case: Case
    grey: GreyScan
    label: Label


def find_cases(data_dir: Path) -> list[Case]:
    """Pair the images and labels below `data_dir` by number: patients first, each sorted by number.

    `data_dir` is the folder that holds `patients/` and `controls/`, or one in which the published
    structure leads there. Raises `DataError` naming each image without a label and the reverse.
    """
    root = _root(data_dir)
    images = _by_number(root / "patients" / "imgs")
    labels = _by_number(root / "patients" / "labels")
    controls = _by_number(root / "controls" / "imgs")
    orphans = [f"{images[n].name} has no label" for n in sorted(images.keys() - labels.keys())]
    orphans += [f"{labels[n].name} has no image" for n in sorted(labels.keys() - images.keys())]
    if orphans:
        raise DataError(f"{root}: images and labels do not pair by number: {_listed(orphans)}")
    if not images:
        raise DataError(f"{root / 'patients' / 'imgs'} holds no PNG image")
    patients = [Case(images[n].stem, images[n], labels[n]) for n in sorted(images)]
    return patients + [Case(controls[n].stem, controls[n], None) for n in sorted(controls)]


def read_case(case: Case) -> LabelledScan:
    """Read a case's image and label; an image that is white on black is turned, as the service does.

    Raises `DataError` where a file cannot be read, the two differ in shape, or the label has
    values other than 0 and 255.
    """
    grey = to_grey(recognise(_read(case.scan_path)).scan)
    if case.label_path is None:
        return LabelledScan(case, grey, np.zeros(grey.shape, dtype=np.bool_))
    label = to_grey(_read(case.label_path))
    if _is_transparent(case.label_path):
        raise DataError(f"{case.label_path.name} has transparent pixels, which are neither 0 nor 255")
    if label.shape != grey.shape:
        raise DataError(f"{case.label_path.name} is {label.shape}, but {case.scan_path.name} is {grey.shape}")
    values = np.unique(label)
    if not np.isin(values, (0, 255)).all():
        strange = values[~np.isin(values, (0, 255))]
        raise DataError(f"{case.label_path.name} has values other than 0 and 255: {strange[:5].tolist()}")
    return LabelledScan(case, grey, label == 255)


def read_cases(cases: list[Case]) -> list[LabelledScan]:
    """Read all cases; raises one `DataError` that names every file at fault."""
    read, faults = [], []
    for case in cases:
        try:
            read.append(read_case(case))
        except DataError as error:
            faults.append(str(error))
    if faults:
        raise DataError(_listed(faults))
    return read


def _root(data_dir: Path) -> Path:
    for candidate in (data_dir, data_dir / "tumor-segmentation", data_dir / "raw" / "tumor-segmentation"):
        if (candidate / "patients" / "imgs").is_dir():
            return candidate
    raise DataError(
        f"{data_dir} has no patients/imgs folder: name the folder that holds patients/ and controls/"
    )


def _by_number(folder: Path) -> dict[int, Path]:
    numbered: dict[int, Path] = {}
    for path in sorted(folder.glob("*.png")):
        match = re.fullmatch(r"\D*(\d+)", path.stem)
        if match is None:
            raise DataError(f"{path.name} does not end in a number, by which images and labels are paired")
        number = int(match.group(1))
        if number in numbered:
            raise DataError(f"{numbered[number].name} and {path.name} have the same number")
        numbered[number] = path
    return numbered


def _read(path: Path) -> npt.NDArray[np.uint8]:
    try:
        return decode_image(path.read_bytes())
    except (OSError, ScanError) as error:
        raise DataError(f"{path.name}: {error}") from None


def _is_transparent(path: Path) -> bool:
    with Image.open(path) as image:
        return image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (
            255,
            255,
        )


def _listed(faults: list[str], shown: int = 10) -> str:
    rest = f" and {len(faults) - shown} more" if len(faults) > shown else ""
    return "; ".join(faults[:shown]) + rest
