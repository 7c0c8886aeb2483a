"""Synthetic MIP-PETs with exact masks: what tests, samples and notebooks use instead of patients."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.preparation import FloatMap, GreyScan
from training.scans.dataset import Label

WIDTH_PX = 400
HEIGHTS_PX = (426, 489, 489, 552, 865)
LESION_RADII_PX = (3.0, 11.0)
EDGE_SIGMA_PX = 1.1
"""Blur of every edge: the scanner's resolution."""

Ellipse = tuple[float, float, float, float, float]
"""Centre x, centre y, half width, half height, angle in degrees; lengths in body units."""

BODY_UNIT_PX = 100.0
"""One body unit is about a quarter of a trunk's length; the origin is the top of the head."""

TRUNK: tuple[Ellipse, ...] = (
    (0, 0.45, 0.27, 0.42, 0),  # head
    (0, 0.95, 0.2, 0.3, 0),  # neck
    (0, 2.0, 0.78, 0.95, 0),  # chest
    (0, 3.0, 0.7, 0.9, 0),  # belly
    (0, 3.85, 0.76, 0.7, 0),  # hips
)
LEGS: tuple[Ellipse, ...] = ((-0.4, 5.9, 0.3, 2.0, 2), (0.4, 5.9, 0.3, 2.0, -2))
ARMS_UP: tuple[Ellipse, ...] = ((-0.72, 0.75, 0.17, 0.85, 12), (0.72, 0.75, 0.17, 0.85, -12))
ARMS_DOWN: tuple[Ellipse, ...] = ((-1.0, 2.4, 0.16, 1.2, 5), (1.0, 2.4, 0.16, 1.2, -5))

ORGANS: dict[str, tuple[Ellipse, float]] = {
    "liver": ((-0.32, 2.55, 0.36, 0.27, -18), 0.42),
    "spleen": ((0.5, 2.62, 0.13, 0.2, 15), 0.3),
    "mediastinum": ((0.0, 1.9, 0.17, 0.5, 0), 0.28),
    "heart": ((0.25, 2.08, 0.2, 0.16, 30), 0.95),
    "left kidney": ((0.36, 2.95, 0.12, 0.24, -14), 0.95),
    "right kidney": ((-0.36, 3.0, 0.12, 0.24, 14), 0.95),
    "bladder": ((0.0, 4.3, 0.19, 0.14, 0), 1.0),
    "brain": ((0.0, 0.3, 0.23, 0.27, 0), 1.0),
}
"""Where each organ lies, and its uptake: 0 is none, 1 is black."""


SAMPLES: dict[str, tuple[int, int, tuple[int, int]]] = {
    "phantom_1": (28, 5, (489, 400)),
    "phantom_2": (48, 0, (426, 400)),
}
"""The phantoms that ship in `samples/`: seed, number of lesions, and (height, width)."""


@dataclass(frozen=True)
class Phantom:
    """A synthetic scan (H, W) uint8, white being no uptake, and its exact label (H, W) bool."""

    grey: GreyScan
    label: Label


def make_phantom(
    seed: int,
    *,
    lesions: int = 4,
    radius_px: tuple[float, float] = LESION_RADII_PX,
    size: tuple[int, int] | None = None,
) -> Phantom:
    """Draw a body with its organs and `lesions` lesions of the given radii; equal seeds draw equal phantoms.

    `size` is (height, width) in pixels; by default the height is one of the data set's usual ones
    and the width 400. A lesion is an ellipse in the trunk, not on the heart, bladder or kidneys,
    and is always darker than what it lies on.
    """
    generator = np.random.default_rng(seed)
    height, width = size or (int(generator.choice(HEIGHTS_PX)), WIDTH_PX)
    unit = BODY_UNIT_PX * width / WIDTH_PX * generator.uniform(0.9, 1.1)
    frame = _Frame(height, width, unit, generator.uniform(-0.35, 0.05) * unit)
    uptake = _draw_body(frame, generator)  # (H, W)
    label = _draw_lesions(uptake, frame, generator, lesions, radius_px)  # (H, W)
    blurred = cv2.GaussianBlur(uptake, (0, 0), EDGE_SIGMA_PX)
    noise = generator.normal(0, 1, uptake.shape) * (0.006 + 0.06 * np.sqrt(blurred.clip(0, 0.25)))
    noisy = np.where(blurred > 0.004, blurred + noise, blurred)
    return Phantom(np.clip(255 * (1 - noisy), 0, 255).round().astype(np.uint8), label)


def write_phantoms(folder: Path, *, patients: int, controls: int, seed: int = 0) -> None:
    """Write a data set of phantoms in the published folder structure."""
    for part in ("patients/imgs", "patients/labels", "controls/imgs"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    for number in range(1, patients + 1):
        phantom = make_phantom(int(generator.integers(2**31)), lesions=int(generator.integers(1, 9)))
        _save(phantom.grey, folder / "patients" / "imgs" / f"patient_{number:03d}.png")
        _save(
            phantom.label * np.uint8(255), folder / "patients" / "labels" / f"segmentation_{number:03d}.png"
        )
    for number in range(1, controls + 1):
        phantom = make_phantom(int(generator.integers(2**31)), lesions=0)
        _save(phantom.grey, folder / "controls" / "imgs" / f"control_{number:03d}.png")


def write_samples(folder: Path) -> None:
    """Write the phantoms that ship with the project, each with its label."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in SAMPLES:
        phantom = make_sample(name)
        _save(phantom.grey, folder / f"{name}.png")
        _save(phantom.label * np.uint8(255), folder / f"{name}_label.png")


def make_sample(name: str) -> Phantom:
    """Draw one of the phantoms that ship with the project."""
    seed, lesions, size = SAMPLES[name]
    return make_phantom(seed, lesions=lesions, size=size)


@dataclass(frozen=True)
class _Frame:
    height: int
    width: int
    unit: float
    top: float

    def inside(self, ellipse: Ellipse) -> npt.NDArray[np.bool_]:
        x, y, half_width, half_height, angle = ellipse
        centre = (self.width / 2 + x * self.unit, self.top + y * self.unit)
        return self.inside_px(centre, (half_width * self.unit, half_height * self.unit), angle)

    def inside_px(
        self, centre: tuple[float, float], radii: tuple[float, float], angle: float
    ) -> npt.NDArray[np.bool_]:
        rows, columns = np.mgrid[: self.height, : self.width]
        turn = np.deg2rad(angle)
        right, down = columns - centre[0], rows - centre[1]
        along = right * np.cos(turn) + down * np.sin(turn)
        across = down * np.cos(turn) - right * np.sin(turn)
        return np.asarray((along / radii[0]) ** 2 + (across / radii[1]) ** 2 <= 1)


def _draw_body(frame: _Frame, generator: np.random.Generator) -> FloatMap:
    body = np.zeros((frame.height, frame.width), dtype=np.float32)
    arms = ARMS_UP if generator.random() < 0.7 else ARMS_DOWN
    soft_tissue = generator.uniform(0.07, 0.12)
    for part in (*TRUNK, *LEGS, *arms):
        body[frame.inside(part)] = soft_tissue
    uptake = np.asarray(cv2.GaussianBlur(body, (0, 0), 0.04 * frame.unit), dtype=np.float32)
    for name, (ellipse, level) in ORGANS.items():
        place = np.array(ellipse) + generator.normal(0, 1, 5) * (0.03, 0.03, 0.01, 0.01, 4)
        organ = frame.inside((place[0], place[1], place[2], place[3], place[4]))
        level = level * generator.uniform(0.9, 1.05)
        texture = _calyces(frame, generator) if name.endswith("kidney") else np.float32(1)
        np.maximum(uptake, organ * np.float32(level) * texture, out=uptake)
    return uptake


def _calyces(frame: _Frame, generator: np.random.Generator) -> FloatMap:
    """Return a factor (H, W) in 0.45..1: a kidney's calyces are dark with urine, its cortex is paler."""
    coarse = generator.normal(0, 1, (frame.height, frame.width)).astype(np.float32)
    spots = np.asarray(cv2.GaussianBlur(coarse, (0, 0), 0.022 * frame.unit), dtype=np.float32)
    return np.where(spots > 0, np.float32(1), np.float32(0.45))


def _draw_lesions(
    uptake: FloatMap,
    frame: _Frame,
    generator: np.random.Generator,
    lesions: int,
    radius_px: tuple[float, float],
) -> Label:
    label = np.zeros(uptake.shape, dtype=np.bool_)
    trunk = np.any([frame.inside(part) for part in TRUNK[1:]], axis=0)
    places = np.argwhere(trunk & (cv2.dilate(uptake, np.ones((9, 9), np.uint8)) < 0.5))
    for _ in range(lesions if len(places) else 0):
        row, column = places[generator.integers(len(places))]
        radius = generator.uniform(*radius_px)
        radii = (radius, radius * generator.uniform(0.7, 1.0))
        lesion = frame.inside_px((float(column), float(row)), radii, generator.uniform(0, 180))
        level = np.float32(generator.uniform(0.7, 1.0))
        label |= lesion & (uptake < level)
        np.maximum(uptake, lesion * level, out=uptake)
    return label


def _save(image: npt.NDArray[np.uint8], path: Path) -> None:
    Image.fromarray(image).save(path)
