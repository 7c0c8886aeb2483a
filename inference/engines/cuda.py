"""Whether there is a CUDA card, asked of the driver: PyTorch takes seconds to say so."""

import ctypes

DRIVER = "libcuda.so.1"


def has_cuda_card() -> bool:
    """Say whether the CUDA driver is installed and finds a card."""
    try:
        driver = ctypes.CDLL(DRIVER)
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
