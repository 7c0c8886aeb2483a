import platform
import subprocess
import sys

import pytest

BLOCKS, BLOCK_BYTES = 64, 4 << 20
KEPT_AT_MOST_MIB = 0.25 * BLOCKS * BLOCK_BYTES / (1 << 20)

HOLES = f"""
import os
from pathlib import Path
import numpy as np
from inference.engines.freed_memory import give_back_freed_memory

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20

{{call}}
np.ones(4 * {BLOCK_BYTES}, np.uint8)  # freed: glibc cuts smaller ones out of a heap now
before = resident_mib()
blocks, between = [], []
for _ in range({BLOCKS}):
    blocks.append(np.ones({BLOCK_BYTES}, np.uint8))
    between.append(np.ones(65536, np.uint8))
blocks.clear()
print(resident_mib() - before)
"""


def kept_mib(call: str) -> float:
    """Return how much more memory a process has after blocks of 256 MiB in all were freed."""
    code = HOLES.format(call=call)
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(ended.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_blocks_that_are_freed_leave_no_holes() -> None:
    assert kept_mib("pass") > KEPT_AT_MOST_MIB  # what there is to mend
    assert kept_mib("give_back_freed_memory()") < KEPT_AT_MOST_MIB
