"""Draws docs/pipeline.svg, the way from a request to its mask: `uv run python docs/pipeline.py`.

The drawing brings its own fills, and lines of a grey that shows on white and on black.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 940, 484
BOX_HEIGHT, MARGIN, FONT_PX, SMALL_PX = 58, 9, 15, 12
LINE, INK, FAINT = "#808080", "#1a1a1a", "#444444"
PAPER, FOLD, FINDING = "#dbe7f3", "#fbe3c0", "#d8ecd4"

Box = tuple[int, int, int, str, str, str]
"""Left, top, width, fill, what happens, and how."""

DECODE: Box = (20, 20, 200, PAPER, "decode, recognise", "H x W, dark on white")
PREPARE: Box = (260, 20, 400, PAPER, "prepare", "grey, resize keeping the aspect, normalise, pad")
VIEWS: tuple[Box, ...] = (
    (260, 120, 185, PAPER, "view: as it is", "1 x h x w"),
    (475, 120, 185, PAPER, "view: mirrored", "1 x h x w"),
)
FOLDS: tuple[Box, ...] = tuple(
    (260 + 138 * place, 220, 124, FOLD, f"fold {fold}", "UNet") for place, fold in enumerate((0, 2, 3))
)
MEAN: Box = (260, 320, 400, PAPER, "unflip, mean over views and folds", "resize to the scan: map H x W, 0..1")
SPREAD: Box = (700, 220, 220, FINDING, "how far folds agree", "disagreement, uncertainty map")
CLASSIFIER: Box = (700, 320, 220, FINDING, "classifier", "probability of tumour at all")
THRESHOLD: Box = (20, 320, 200, PAPER, "threshold", "mask H x W x 3, 0 or 255")
MASK: Box = (20, 400, 200, FINDING, "validate, encode", "the mask, or a black one")
LESIONS: Box = (260, 400, 400, FINDING, "lesions", "connected regions: place, area, probability")


def main() -> None:
    """Write the drawing beside this file."""
    Path(__file__).with_suffix(".svg").write_text(drawing())


def drawing() -> str:
    """Return the drawing as SVG."""
    return "\n".join(_elements()) + "\n"


def _elements() -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'font-family="system-ui, sans-serif" text-anchor="middle">'
    )
    yield "<title>The way from a scan to its mask</title>"
    yield (
        f'<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" '
        f'orient="auto"><path d="M0 0 8 4 0 8z" fill="{LINE}"/></marker></defs>'
    )
    yield _arrow(_right(DECODE), _left(PREPARE))
    for view in VIEWS:
        yield _arrow((_bottom(view)[0], PREPARE[1] + BOX_HEIGHT), _top(view))
        yield from (_arrow(_bottom(view), _top(fold)) for fold in FOLDS)
    yield from (_arrow(_bottom(fold), (_bottom(fold)[0], MEAN[1])) for fold in FOLDS)
    yield from _frame(FOLDS)
    yield _arrow((_right(FOLDS[-1])[0] + MARGIN, _right(FOLDS[-1])[1]), _left(SPREAD))
    yield _arrow(_right(MEAN), _left(CLASSIFIER))
    yield _arrow(_left(MEAN), _right(THRESHOLD))
    yield _arrow(_bottom(THRESHOLD), _top(MASK))
    yield _arrow(_right(MASK), _left(LESIONS))
    start, end = _bottom(CLASSIFIER), _bottom(MASK)
    yield (
        f'<path d="M{start[0]} {start[1]}V{HEIGHT - 4}H{end[0]}V{end[1]}" fill="none" stroke="{LINE}" '
        'stroke-width="1.5" stroke-dasharray="5 4" marker-end="url(#tip)"/>'
    )
    for box in (DECODE, PREPARE, *VIEWS, *FOLDS, MEAN, SPREAD, CLASSIFIER, THRESHOLD, MASK, LESIONS):
        yield from _box(box)
    yield "</svg>"


def _box(box: Box) -> Iterator[str]:
    left, top, width, fill, what, how = box
    middle = left + width / 2
    yield (
        f'<rect x="{left}" y="{top}" width="{width}" height="{BOX_HEIGHT}" rx="8" fill="{fill}" '
        f'stroke="{LINE}"/>'
    )
    yield f'<text x="{middle}" y="{top + 25}" font-size="{FONT_PX}" fill="{INK}">{escape(what)}</text>'
    yield f'<text x="{middle}" y="{top + 44}" font-size="{SMALL_PX}" fill="{FAINT}">{escape(how)}</text>'


def _frame(boxes: Sequence[Box]) -> Iterator[str]:
    left, top = boxes[0][0] - MARGIN, boxes[0][1] - MARGIN
    width, height = boxes[-1][0] + boxes[-1][2] + MARGIN - left, BOX_HEIGHT + 2 * MARGIN
    yield (
        f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="12" fill="none" stroke="{LINE}" '
        'stroke-dasharray="2 3"/>'
    )


def _arrow(start: tuple[float, float], end: tuple[float, float]) -> str:
    return (
        f'<path d="M{start[0]} {start[1]}L{end[0]} {end[1]}" stroke="{LINE}" stroke-width="1.5" '
        'marker-end="url(#tip)"/>'
    )


def _left(box: Box) -> tuple[float, float]:
    return box[0], box[1] + BOX_HEIGHT / 2


def _right(box: Box) -> tuple[float, float]:
    return box[0] + box[2], box[1] + BOX_HEIGHT / 2


def _top(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1]


def _bottom(box: Box) -> tuple[float, float]:
    return box[0] + box[2] / 2, box[1] + BOX_HEIGHT


if __name__ == "__main__":
    main()
