"""The thresholds that the page's slider can be set to."""

import math

from service.page.result_token import LOWEST_THRESHOLD

STEP = 0.01


def slider_range(threshold: float) -> tuple[float, float]:
    """Return the slider's ends: whole steps away from the model's own threshold, which it then can show."""
    if threshold < LOWEST_THRESHOLD:
        lowest = threshold
    else:
        lowest = threshold - math.floor((threshold - LOWEST_THRESHOLD) / STEP + 1e-9) * STEP
    highest = lowest + math.floor((1 - 1e-6 - lowest) / STEP) * STEP
    return round(lowest, 6), round(highest, 6)
