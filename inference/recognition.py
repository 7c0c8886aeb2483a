"""Whether a picture is a MIP-PET at all, told from its border, its greys and its shape.

Nothing is refused: whoever sends a photograph gets a mask, and is told that it looks like none.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from inference.preparation import GreyScan, to_grey
from utils import Scan

NEAR = 16
"""How far from white or black a background may be: JPEG leaves it no purer."""

BACKGROUND_BORDER = 0.6
"""Share of the border's pixels that are background at least. On the 512 scans of the data set it is 0.73
to 1: heads, arms and thighs are cut at the top and bottom edges, never at the sides."""

BACKGROUND_AREA = 0.25
"""Share of all pixels that are white at least. On the 512 scans it is 0.39 to 0.71."""

DARK_AREA = 0.35
"""Share of all pixels that are darker than half at most. On the 512 scans it is 0.02 to 0.18."""

CONTRAST = 64
"""Greys between the darkest and the brightest pixel at least. On the 512 scans it is 255 throughout."""

SHADES = 16
"""Different greys at least: a mask has two. On the 512 scans it is 230 to 234."""

COLOUR_SPREAD, COLOUR_AREA = 24, 0.01
"""A pixel is coloured where its channels differ by more, a picture where a larger share of it is. On the
512 scans no channel differs from another; photographs have a share of 0.2 and more."""

PROPORTIONS = (0.6, 3.1)
"""Height over width: the data set's 0.75 (trunks) to 2.48 (head to feet), and a quarter beyond."""

WIDTHS_PX = (200, 800)
"""Half and twice the 400 px that all 512 scans are wide; a lesion's size in pixels goes with it."""

LOOKED_AT_PX = 1 << 20
"""Larger pictures are looked at pixel by pixel no more, but evenly thinned out."""


@dataclass(frozen=True)
class Recognition:
    """A scan as the folds expect it, and what is unusual about it.

    `scan` has the shape of what came, its greys turned where it was `inverted`; the warnings are
    sentences for people, none for an ordinary scan.
    """

    scan: Scan
    inverted: bool
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Appearance:
    """What the rules look at, once in numbers: shares are 0..1, greys 0..255."""

    height: int
    width: int
    white_border: float
    black_border: float
    white: float
    dark: float
    contrast: int
    shades: int
    coloured: float

    @property
    def proportions(self) -> float:
        """Return the height over the width."""
        return self.height / self.width

    @property
    def is_inverted(self) -> bool:
        """Say whether the background is black: a frame around a white picture is none."""
        return self.black_border >= BACKGROUND_BORDER and self.dark > 0.5


def recognise(scan: Scan) -> Recognition:
    """Turn a scan, (H, W) or (H, W, 3) uint8, that is white on black, and say what is unusual about it."""
    seen = look_at(scan)
    if not seen.is_inverted:
        return Recognition(scan, inverted=False, warnings=_doubts(seen))
    turned = np.asarray(255 - scan, dtype=np.uint8)
    told = (
        "the scan has a black background: its greys were inverted, so that it is segmented as dark on white"
    )
    return Recognition(turned, inverted=True, warnings=(told, *_doubts(look_at(turned))))


def look_at(scan: Scan) -> Appearance:
    """Measure a scan, (H, W) or (H, W, 3) uint8."""
    step = max(1, round((scan.shape[0] * scan.shape[1] / LOOKED_AT_PX) ** 0.5))
    thinned = np.ascontiguousarray(scan[::step, ::step])
    border = np.concatenate([to_grey(edge).ravel() for edge in _edges(scan)])
    grey = to_grey(thinned)
    counts = np.bincount(grey.ravel(), minlength=256)  # (256,)
    shades = np.flatnonzero(counts)
    return Appearance(
        height=scan.shape[0],
        width=scan.shape[1],
        white_border=float((border >= 255 - NEAR).mean()),
        black_border=float((border <= NEAR).mean()),
        white=float(counts[255 - NEAR :].sum() / grey.size),
        dark=float(counts[:128].sum() / grey.size),
        contrast=int(shades[-1] - shades[0]),
        shades=len(shades),
        coloured=_coloured(thinned),
    )


def _edges(scan: Scan) -> tuple[Scan, ...]:
    """Return the border as strips one pixel wide."""
    return tuple(np.ascontiguousarray(edge) for edge in (scan[:1], scan[-1:], scan[:, :1], scan[:, -1:]))


def _coloured(scan: Scan) -> float:
    """Return the share of pixels that have a colour."""
    if scan.ndim == 2:
        return 0.0
    red, green, blue = cv2.split(scan)
    spread: GreyScan = np.asarray(
        cv2.subtract(cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)), dtype=np.uint8
    )
    return float((spread > COLOUR_SPREAD).mean())


def _doubts(seen: Appearance) -> tuple[str, ...]:
    """Return what is unusual about a scan that is dark on white, or should be."""
    doubts = []
    if seen.coloured > COLOUR_AREA:
        doubts.append("the scan is a colour picture: a MIP-PET is grey, so its mask is not to be trusted")
    if seen.contrast < CONTRAST:
        doubts.append("the scan is blank, or nearly so: there is no body to be seen on it")
    elif seen.shades < SHADES:
        doubts.append(f"the scan has {seen.shades} shades of grey and no more: is it a mask, and not a scan?")
    elif seen.white_border < BACKGROUND_BORDER or seen.white < BACKGROUND_AREA or seen.dark > DARK_AREA:
        doubts.append(
            "the scan does not show a dark body on a white background: is it a photograph? "
            "Its mask is not to be trusted"
        )
    lowest, highest = PROPORTIONS
    if not lowest <= seen.proportions <= highest:
        doubts.append(
            f"the scan's height is {seen.proportions:.2g} times its width, which is none of a body's "
            f"({lowest} to {highest}): is it stretched, or does it lie on its side?"
        )
    narrowest, widest = WIDTHS_PX
    if not narrowest <= seen.width <= widest:
        doubts.append(
            f"the scan is {seen.width} px wide, and the folds were trained on scans of 400 px: "
            "resize it to about that"
        )
    return tuple(doubts)
