"""The competition kit's functions: encode, decode, validate, score and plot."""

import base64
import binascii
import io
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class SegmentationError(Exception):
    """Base of every error that this project raises on purpose; `inference/errors.py` draws them all."""


class ScanError(SegmentationError):
    """The scan cannot be read or segmented; the message tells its sender why."""


Scan = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.uint8]

MIN_SIDE_PX = 32
MAX_SIDE_PX = 4096
FORMATS = ("PNG", "JPEG")
OTHER_FILES: tuple[tuple[int, bytes, str], ...] = (
    (128, b"DICM", "one file of DICOM: send its whole series, where PET volumes are taken"),
    (0, b"II*\0", "a TIFF file: save it as PNG"),
    (0, b"MM\0*", "a TIFF file: save it as PNG"),
    (0, b"GIF8", "a GIF file: save it as PNG"),
    (0, b"BM", "a BMP file: save it as PNG"),
    (8, b"WEBP", "a WebP file: save it as PNG"),
    (0, b"%PDF", "a PDF file: send the picture in it as PNG"),
)
"""What else is sent, by mistake: where in the file it is known by which bytes, and what to do instead."""

MAX_JPEG_PASSES = 100
"""A progressive JPEG has about ten; a small file of thousands would keep a core busy for hours."""


def encode_request(image: npt.NDArray[np.uint8]) -> str:
    """Encode a grey (H, W) or RGB (H, W, 3) uint8 image as base64 PNG text."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def decode_request(img: str) -> Scan:
    """Decode base64 text, with or without a data-URL prefix, to an RGB scan (H, W, 3) uint8.

    Raises `ScanError` where the text is no base64 or its bytes are no acceptable image.
    """
    text = img.strip()
    if text.startswith("data:"):
        header, comma, text = text.partition(",")
        if not comma or not header.endswith(";base64"):
            raise ScanError(
                "'img' is a data URL that is not base64: it must start with 'data:image/png;base64,'"
            )
    if not text:
        raise ScanError("'img' is empty: send the scan's PNG or JPEG file as base64")
    try:
        data = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ScanError("'img' is not valid base64") from None
    return decode_image(data)


def decode_image(data: bytes) -> Scan:
    """Decode the bytes of a PNG or JPEG file to an RGB scan (H, W, 3) uint8.

    Grey, palette, RGB, with or without transparency (laid on white: no uptake), 8 or 16 bits a channel.
    Size and format are judged from the header, before any pixel is decoded.
    Raises `ScanError` where the bytes are no such file, cut short, or not 32 to 4096 px on each side.
    """
    if not data:
        raise ScanError("the scan is empty")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(image.size)
        if image.format == "JPEG" and data.count(b"\xff\xda") > MAX_JPEG_PASSES:
            raise ScanError(f"the scan is a JPEG file of more than {MAX_JPEG_PASSES} passes: send it as PNG")
        image.load()
        return _to_rgb(image)
    except UnidentifiedImageError:
        raise ScanError(f"the scan is neither a PNG nor a JPEG file{_what_it_is(data)}") from None
    except Image.DecompressionBombError:
        raise ScanError(f"the scan is larger than {MAX_SIDE_PX} x {MAX_SIDE_PX} px") from None
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as error:
        raise ScanError(f"the scan's file is damaged or cut short ({error})") from None


def _what_it_is(data: bytes) -> str:
    """Return what a file that is no PNG or JPEG is instead, as the end of a sentence, where that is known."""
    known = [kind for start, signature, kind in OTHER_FILES if data.startswith(signature, start)]
    return f", but {known[0]}" if known else ""


def _check_size(size: tuple[int, int]) -> None:
    width, height = size
    if min(size) < MIN_SIDE_PX or max(size) > MAX_SIDE_PX:
        raise ScanError(
            f"the scan is {width} x {height} px: each side must be from {MIN_SIDE_PX} to {MAX_SIDE_PX} px"
        )


def _to_rgb(image: Image.Image) -> Scan:
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image, dtype=np.float64) / 257  # 16 bits a pixel to 8
        return np.repeat(np.clip(grey.round(), 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return np.array(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.array(image.convert("RGB"))


def validate_segmentation(scan: Scan, mask: Mask) -> None:
    """Check that a mask is what the competition accepts for a scan.

    A valid mask is a uint8 array (H, W, 3) of the scan's height and width whose pixels are all
    white (255, 255, 255) or black (0, 0, 0).
    Raises `ValueError` that says what is wrong.
    """
    if not isinstance(mask, np.ndarray):
        raise ValueError(f"the mask is a {type(mask).__name__}, not a numpy array")
    if mask.dtype != np.uint8:
        raise ValueError(f"the mask's dtype is {mask.dtype}, not uint8")
    if mask.ndim != 3 or mask.shape[2] != 3:
        raise ValueError(f"the mask's shape is {mask.shape}, not (height, width, 3)")
    if mask.shape[:2] != scan.shape[:2]:
        raise ValueError(f"the mask is {mask.shape[:2]}, but the scan is {scan.shape[:2]} (height, width)")
    values = np.unique(mask)
    if not np.isin(values, (0, 255)).all():
        raise ValueError(f"the mask has values other than 0 and 255: {values[:5].tolist()}")
    if not ((mask[..., 0] == mask[..., 1]) & (mask[..., 0] == mask[..., 2])).all():
        raise ValueError("the mask has pixels that are neither white nor black")


def dice_score(label: npt.NDArray[np.generic], prediction: npt.NDArray[np.generic]) -> float:
    """Return the Dice-Sørensen coefficient of two masks, 0..1; non-zero is tumour.

    Two empty masks agree perfectly: 1.
    Source: Sørensen 1948; 2 TP / (2 TP + FP + FN).
    """
    if label.shape != prediction.shape:
        raise ValueError(f"the masks differ in shape: {label.shape} and {prediction.shape}")
    truth, predicted = label != 0, prediction != 0
    total = int(truth.sum()) + int(predicted.sum())
    return 2 * int((truth & predicted).sum()) / total if total else 1.0


def plot_prediction(scan: Scan, label: Mask, prediction: Mask) -> "Figure":
    """Draw scan, label, prediction and their differences side by side, titled with the Dice score.

    In the last panel hits are green, false positives red, misses blue. Needs matplotlib.
    """
    from matplotlib.figure import Figure

    truth, predicted = label.reshape(*label.shape[:2], -1)[..., 0] != 0, prediction[..., 0] != 0
    differences = np.full((*truth.shape, 3), 255, dtype=np.uint8)  # (H, W, 3)
    differences[truth & predicted] = (0, 158, 115)
    differences[~truth & predicted] = (213, 94, 0)
    differences[truth & ~predicted] = (0, 114, 178)
    figure = Figure(figsize=(12, 12 * scan.shape[0] / scan.shape[1] / 4 + 0.5), layout="constrained")
    panels = {"Scan": scan, "Label": label, "Prediction": prediction}
    panels[f"Dice {dice_score(truth, predicted):.2f}"] = differences
    for axes, (title, image) in zip(np.ravel(figure.subplots(1, 4)), panels.items(), strict=True):
        axes.imshow(image, cmap="gray")
        axes.set_title(title)
        axes.set_axis_off()
    return figure
