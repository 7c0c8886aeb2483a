import pytest

from service.page.result_token import LOWEST_THRESHOLD
from service.page.slider import STEP, slider_range


@pytest.mark.parametrize("threshold", [0.0004, 0.01, 0.015, 0.3, 0.305, 0.5, 0.97, 0.997])
def test_the_slider_can_stand_at_the_models_own_threshold_and_nowhere_impossible(threshold: float) -> None:
    lowest, highest = slider_range(threshold)
    steps = (threshold - lowest) / STEP
    assert steps == pytest.approx(round(steps), abs=1e-6)
    assert min(threshold, LOWEST_THRESHOLD) <= lowest <= threshold <= highest < 1
    assert highest > 0.98
