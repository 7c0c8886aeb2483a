"""The picture that people look at: the scan, its lesions outlined and numbered."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from inference.findings import Lesion, Mask
from inference.preparation import to_grey
from inference.report.label_placement import Box, join, place_labels
from utils import Scan

OUTLINE_RGB = (213, 0, 50)
HALO_RGB = (255, 255, 255)
MIN_WIDTH_PX = 800
MAX_HEIGHT_PX = 4096
"""What a scan is not enlarged beyond: a strip would become a picture that no memory holds."""

TEXT_SHARE = 1 / 40
"""A number's height, as a share of the picture's width."""

MAX_NUMBERED = 50
"""More numbers than that would hide the scan: the first of the lesions, which are the largest, have one."""

HALO_PARTS = 7
"""How many times higher a number is than its halo is wide."""


def draw_overlay(scan: Scan, mask: Mask, lesions: Sequence[Lesion] = ()) -> npt.NDArray[np.uint8]:
    """Return the scan with every lesion outlined, RGB uint8, enlarged to at least 800 px of width.

    A high scan is enlarged less, to 4096 px of height at most.
    `scan` is (H, W) or (H, W, 3), `mask` (H, W, 3). The outline runs around a lesion's pixels; the
    numbers of the `lesions` that are given, of the first 50 at most, stand beside them and not on them.
    """
    grey = to_grey(scan)
    zoom = max(1, min(-(-MIN_WIDTH_PX // grey.shape[1]), MAX_HEIGHT_PX // grey.shape[0]))
    size = (grey.shape[1] * zoom, grey.shape[0] * zoom)
    picture = cv2.cvtColor(cv2.resize(grey, size, interpolation=cv2.INTER_NEAREST), cv2.COLOR_GRAY2RGB)
    inside = cv2.resize(mask[..., 0], size, interpolation=cv2.INTER_NEAREST)
    reach = 2 * max(2, size[0] // (MIN_WIDTH_PX // 2)) + 1
    around = cv2.dilate(inside, np.ones((reach, reach), np.uint8))
    picture[(around > 0) & (inside == 0)] = OUTLINE_RGB
    outlined = np.asarray(picture, dtype=np.uint8)
    return _number(outlined, around > 0, lesions[:MAX_NUMBERED], zoom) if lesions else outlined


def _number(
    picture: npt.NDArray[np.uint8], taken: npt.NDArray[np.bool_], lesions: Sequence[Lesion], zoom: int
) -> npt.NDArray[np.uint8]:
    """Return the picture (H, W, 3) with the lesions' numbers, which avoid what is `taken` (H, W)."""
    text_px = round(picture.shape[1] * TEXT_SHARE)
    halo_px = text_px // HALO_PARTS
    font = ImageFont.load_default(text_px)
    extents = [font.getbbox(str(lesion.id), stroke_width=halo_px) for lesion in lesions]
    sizes = [(math.ceil(right - left), math.ceil(bottom - top)) for left, top, right, bottom in extents]
    boxes = [_enlarged(lesion.bbox_xywh, zoom) for lesion in lesions]
    labels = place_labels(boxes, sizes, taken)
    drawn = Image.fromarray(picture)
    pen = ImageDraw.Draw(drawn)
    for label, box in zip(labels, boxes, strict=True):
        line = join(label, box)
        if math.dist(*line) > text_px:
            pen.line(line, OUTLINE_RGB, max(1, halo_px // 2))
    for lesion, label, (left, top, _, _) in zip(lesions, labels, extents, strict=True):
        corner = (label[0] - left, label[1] - top)
        pen.text(corner, str(lesion.id), OUTLINE_RGB, font, stroke_width=halo_px, stroke_fill=HALO_RGB)
    return np.asarray(drawn)


def _enlarged(bbox_xywh: tuple[int, int, int, int], zoom: int) -> Box:
    x, y, width, height = (zoom * length for length in bbox_xywh)
    return x, y, x + width, y + height
