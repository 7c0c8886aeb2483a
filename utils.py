"""The competition kit's functions: encode, decode, validate, score and plot."""

import base64
import binascii
import io
import re
import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

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

MAX_PARTS = 100_000
"""Of a file: a PNG's chunks, or a JPEG's segments. An ordinary picture has fewer than thousands."""

JPEG_SIGNATURE = b"\xff\xd8\xff"
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
SHOWN_CHUNKS = (b"tRNS", b"eXIf")
"""What is read of a PNG file beside the chunks that every reader has to know, if it is whole."""

JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
"""A segment's beginning: within a pass, \xff is followed by 0 or a restart's number."""

JPEG_PASS, JPEG_END, JPEG_ALONE = b"\xda", b"\xd9", b"\x01\xd8"
"""What begins a pass, what ends the picture, and what has no length."""

WIDE_COLOURS = {"LA": 1, "RGB": 3, "RGBA": 3}
"""Pillow's modes of several channels, and how many of them are no transparency."""

HALF_RANGE = 1 << 15
"""A picture of 16 bits whose brightest pixel is below that is no picture of 16 bits."""


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

    Grey, palette, RGB, with or without transparency (laid on white: no uptake), 8 or 16 bits a channel,
    turned as its EXIF orientation says: what a viewer shows, and of the size that it shows.
    Size and format are judged from the header, before any pixel is decoded; comments and other text in
    the file, and what comes behind the picture, are not looked at.
    Raises `ScanError` where the bytes are no such file, cut short, not 32 to 4096 px on each side, or
    hold values that a viewer would show all but black.
    """
    if not data:
        raise ScanError("the scan is empty")
    try:
        image = Image.open(io.BytesIO(_shown_chunks(data)), formats=FORMATS)
        _check_size(image.size)
        if image.format != "PNG":
            _check_passes(data)
        image.load()
        return _to_rgb(_upright(image), bits=data[24] if image.format == "PNG" else 8)
    except UnidentifiedImageError:
        if data.startswith((PNG_SIGNATURE, JPEG_SIGNATURE)):
            raise ScanError("the scan's file is damaged or cut short (its header cannot be read)") from None
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


def _shown_chunks(data: bytes) -> bytes:
    """Return a PNG file's chunks that what is shown depends on, and another file as it is.

    A damaged comment damages no picture: a reader has to pass over it (PNG 1.2, 10.1).
    """
    if not data.startswith(PNG_SIGNATURE):
        return data
    kept, place = [PNG_SIGNATURE], len(PNG_SIGNATURE)
    for _ in range(MAX_PARTS):
        if place + 12 > len(data):
            break
        (length,) = struct.unpack_from(">I", data, place)
        kind, ends = data[place + 4 : place + 8], place + 12 + length
        is_critical = not kind[0] & 0x20
        if is_critical or (kind in SHOWN_CHUNKS and _is_whole(data[place + 4 : ends])):
            kept.append(data[place:ends])
        place = ends
        if kind == b"IEND":
            return b"".join(kept)
    else:
        raise ScanError(f"the scan is a PNG file of more than {MAX_PARTS:,} chunks: save it anew")
    return b"".join((*kept, data[place:]))


def _is_whole(chunk: bytes) -> bool:
    """Say whether a PNG file's chunk, from its name to its end, is as it was written."""
    return len(chunk) >= 8 and zlib.crc32(chunk[:-4]) == int.from_bytes(chunk[-4:])


def _check_passes(data: bytes) -> None:
    """Raise `ScanError` where the picture of a JPEG file has too many passes; not of what is behind it."""
    passes = place = 0
    for _ in range(MAX_PARTS):
        found = JPEG_MARKER.search(data, place)
        if found is None or found[1] == JPEG_END or passes > MAX_JPEG_PASSES:
            break
        passes += found[1] == JPEG_PASS
        place = found.end()
        if found[1] not in JPEG_ALONE:
            place += int.from_bytes(data[place : place + 2])
    else:
        raise ScanError(f"the scan is a JPEG file of more than {MAX_PARTS:,} segments: send it as PNG")
    if passes > MAX_JPEG_PASSES:
        raise ScanError(f"the scan is a JPEG file of more than {MAX_JPEG_PASSES} passes: send it as PNG")


def _upright(image: Image.Image) -> Image.Image:
    """Return a picture turned as its EXIF orientation says; EXIF that cannot be read turns nothing."""
    for packet in ("xmp", "XML:com.adobe.xmp"):  # by which no viewer turns
        image.info.pop(packet, None)
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # whatever damaged EXIF leads to
        return image


def _to_rgb(image: Image.Image, bits: int) -> Scan:
    """Return a picture on white, (H, W, 3); `bits` a channel are those of its file."""
    transparent = image.info.get("transparency")
    if image.mode.startswith("I") or image.mode == "F":
        wide = np.asarray(image)
        _check_range(wide)
        grey = np.clip((wide / np.float32(257)).round(), 0, 255).astype(np.uint8)  # 16 bits a pixel to 8
        if isinstance(transparent, int):
            grey[wide == transparent] = 255
        return np.repeat(grey[..., None], 3, axis=2)
    if bits == 16 and image.mode in WIDE_COLOURS:  # of which Pillow keeps the upper 8 bits
        values = np.asarray(image)[..., : WIDE_COLOURS[image.mode]]
        _check_range(values.astype(np.uint16) << 8)
    if image.mode == "RGB" and bits == 16 and transparent is not None:
        raise ScanError(
            "the scan has 16 bits a channel and a transparent colour (tRNS): save it with 8 bits, or as grey"
        )
    if image.mode == "L" and bits < 8 and isinstance(transparent, int):
        image.info["transparency"] = transparent * 255 // ((1 << bits) - 1)  # as its pixels are
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        return np.array(Image.alpha_composite(white, rgba).convert("RGB"))
    return np.array(image.convert("RGB"))


def _check_range(values: npt.NDArray[Any]) -> None:
    """Raise `ScanError` where values of 16 bits use less than half of their range and were not 8 bits."""
    brightest = int(values.max())
    if 0 < brightest < HALF_RANGE and (values % 257).any():
        raise ScanError(
            f"the scan has 16 bits a pixel, and no value above {brightest} of 65535, which a viewer shows "
            f"all but black: it holds {brightest.bit_length()} bits, so scale them to the whole range, or "
            "save it with 8 bits"
        )


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
