"""The coloured layers that the page lays over a scan, and the scales that explain them."""

import cv2
import numpy as np
import numpy.typing as npt

from inference.preparation import FloatMap

Layer = npt.NDArray[np.uint8]

LONGEST_SIDE_PX = 1600
"""Of a layer: it is looked at and never measured."""

OPAQUE_FROM = 0.5
HIGHEST_SPREAD = 0.5
SCALE_PX = 256


def draw_probabilities(probability_map: FloatMap) -> Layer:
    """Return probabilities (H, W) as a layer (h, w, 4), RGBA uint8, the clearer the less probable."""
    return _draw(_shown(probability_map), cv2.COLORMAP_PLASMA)


def draw_disagreement(spread: FloatMap) -> Layer:
    """Return the folds' standard deviations (H, W), 0..0.5, as a layer (h, w, 4), RGBA uint8."""
    return _draw(_shown(spread) / HIGHEST_SPREAD, cv2.COLORMAP_VIRIDIS)


def probability_scale() -> Layer:
    """Return the colours of all probabilities from 0 to 1, (1, 256, 4)."""
    return draw_probabilities(np.linspace(0, 1, SCALE_PX, dtype=np.float32)[None])


def disagreement_scale() -> Layer:
    """Return the colours of all standard deviations from 0 to 0.5, (1, 256, 4)."""
    return draw_disagreement(np.linspace(0, HIGHEST_SPREAD, SCALE_PX, dtype=np.float32)[None])


def _shown(values: FloatMap) -> FloatMap:
    height, width = values.shape
    scale = LONGEST_SIDE_PX / max(height, width)
    if scale >= 1:
        return values
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(values, size, interpolation=cv2.INTER_AREA), dtype=np.float32)


def _draw(values: FloatMap, colours: int) -> Layer:
    levels = (values * 255).round().clip(0, 255).astype(np.uint8)  # (h, w)
    rgb = cv2.cvtColor(cv2.applyColorMap(levels, colours), cv2.COLOR_BGR2RGB)
    alpha = (values / OPAQUE_FROM * 255).round().clip(0, 255).astype(np.uint8)
    return np.dstack([rgb, alpha])  # (h, w, 4)
