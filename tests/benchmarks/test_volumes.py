import os
from pathlib import Path

import pytest

from benchmarks.volumes import SHAPE, measure_projection

PEAK_MIB = 2048
WALL_S = 5

pytestmark = pytest.mark.skipif(not Path("/proc").exists(), reason="reads the process's figures from /proc")


def test_a_series_is_read_slice_by_slice() -> None:
    """A small series: what is kept of it is its projection, not its slices."""
    small, larger = (measure_projection((slices, 256, 256)) for slices in (40, 200))
    assert small.suv_max == pytest.approx(30, rel=0.001)
    assert larger.peak_mib - small.peak_mib < 160 * 256 * 256 * 4 / 2**20 / 2


@pytest.mark.alone
@pytest.mark.skipif("TUMOR_TEST_LARGE_VOLUME" not in os.environ, reason="writes a series of 192 MB")
def test_a_large_series_takes_neither_long_nor_much_memory() -> None:
    cost = measure_projection(SHAPE)
    assert cost.suv_max == pytest.approx(30, rel=0.001)
    assert cost.peak_mib < PEAK_MIB
    assert cost.wall_s < WALL_S
