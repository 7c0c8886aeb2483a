"""From a scan to the network's input, and from the network's output back to the scan."""

import math
from typing import Annotated, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

GreyScan = npt.NDArray[np.uint8]
FloatMap = npt.NDArray[np.float32]

PAD_MULTIPLE = 32
MAX_INPUT_PIXELS = 512 * 512


class Preparation(BaseModel):
    """How one fold wants its scans; it travels in the metadata of the fold's weights.

    Exactly one of two kinds of resize:
    `input_scale`: network pixels per scan pixel, the aspect kept;
    `input_size`: (height, width) to which every scan is stretched.

    `normalisation`: "uptake" maps grey 255..0 (white is no uptake) to 0..1;
    "minmax" maps each scan's own darkest..brightest grey to 0..1, not inverted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    input_scale: Annotated[float, Field(gt=0, le=4)] | None = None
    input_size: tuple[Annotated[int, Field(ge=32)], Annotated[int, Field(ge=32)]] | None = None
    normalisation: Literal["uptake", "minmax"] = "uptake"

    @model_validator(mode="after")
    def _one_kind_of_resize(self) -> "Preparation":
        if (self.input_scale is None) == (self.input_size is None):
            raise ValueError("give either input_scale or input_size")
        return self

    def resized_size(self, scan_size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) of the resized scan, before padding.

        Scans that would exceed `MAX_INPUT_PIXELS` are scaled down further: a scan sampled more
        finely than the training data shows the same body, and costs no more time or memory.
        """
        if self.input_size is not None:
            return self.input_size
        assert self.input_scale is not None
        height, width = scan_size
        scale = min(self.input_scale, math.sqrt(MAX_INPUT_PIXELS / (height * width)))
        return max(1, round(height * scale)), max(1, round(width * scale))

    def padded_size(self, scan_size: tuple[int, int]) -> tuple[int, int]:
        """Return the (height, width) of the network's input: the next multiples of 32."""
        height, width = self.resized_size(scan_size)
        return _round_up(height), _round_up(width)

    def prepare(self, grey: GreyScan) -> FloatMap:
        """Resize, normalise and pad a grey scan (H, W) uint8 to the network's input (h, w) float32."""
        resized = resize(grey.astype(np.float32), self.resized_size(_size(grey)))  # (h', w')
        normalised = self.normalise(resized)
        return self._pad(normalised, self.padded_size(_size(grey)))  # (h, w)

    def restore(self, probability_map: FloatMap, scan_size: tuple[int, int]) -> FloatMap:
        """Crop the padding off a map (h, w) and resize it to the scan's own (H, W), float32 in 0..1."""
        height, width = self.resized_size(scan_size)
        return resize(probability_map[:height, :width], scan_size)  # (H, W)

    def normalise(self, resized: FloatMap) -> FloatMap:
        """Map a resized grey scan (h, w), float32 in 0..255, to what the network sees, 0..1."""
        if self.normalisation == "uptake":
            return 1 - resized / np.float32(255)
        darkest, brightest = float(resized.min()), float(resized.max())
        return (resized - np.float32(darkest)) / np.float32(max(brightest - darkest, 1e-6))

    def _pad(self, normalised: FloatMap, size: tuple[int, int]) -> FloatMap:
        no_uptake = 0.0 if self.normalisation == "uptake" else 1.0
        height, width = _size(normalised)
        margins = ((0, size[0] - height), (0, size[1] - width))
        return np.pad(normalised, margins, constant_values=no_uptake)


ORIGINAL_PREPARATION = Preparation(input_size=(1536, 786), normalisation="minmax")
"""The preparation of the original system's artifacts, which carry no metadata of their own."""


def to_grey(scan: npt.NDArray[np.uint8]) -> GreyScan:
    """Return the grey image (H, W) of a grey (H, W) or RGB (H, W, 3) uint8 scan."""
    if scan.ndim == 2:
        return scan
    return np.asarray(cv2.cvtColor(scan, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def resize(image: FloatMap, size: tuple[int, int]) -> FloatMap:
    """Resize a float32 image to (height, width): area average downwards, bilinear upwards."""
    if _size(image) == size:
        return image
    shrinks = size[0] * size[1] < image.shape[0] * image.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=method), dtype=np.float32)


def _size(image: npt.NDArray[np.generic]) -> tuple[int, int]:
    return image.shape[0], image.shape[1]


def _round_up(length: int) -> int:
    return -(-length // PAD_MULTIPLE) * PAD_MULTIPLE
