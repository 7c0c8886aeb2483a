"""Files that are whole or absent, whatever ends the process that writes them."""

import io
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

FAST = 1
"""zlib's level: higher ones take longer than the inference, for a third of the size less."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under another name, and give it its own once it is whole."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


def write_png(path: Path, image: npt.NDArray[np.uint8]) -> None:
    """Write a grey (H, W) or RGB (H, W, 3) uint8 image as PNG."""
    write_atomically(path, png_of(image))


def png_of(image: npt.NDArray[np.uint8]) -> bytes:
    """Return a grey (H, W) or RGB (H, W, 3) uint8 image as a PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", compress_level=FAST)
    return buffer.getvalue()
