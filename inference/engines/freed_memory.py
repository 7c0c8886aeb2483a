"""Memory that is freed goes back to the system; glibc would keep most of it for later."""

import ctypes
import sys
from contextlib import suppress

M_MMAP_THRESHOLD = -3
"""Source: glibc's malloc.h; mallopt(3)."""

LARGE_BYTES = 1 << 20


def give_back_freed_memory() -> None:
    """Have blocks of a megabyte and more stand by themselves, so that each is given back once it is freed.

    Of its own, glibc raises that limit to 32 MB as such blocks are freed. What a network works on is then
    cut out of heaps, between blocks that stay, and a process that sees scans of many sizes holds the holes.
    For the whole process, and where glibc allocates its memory; anywhere else nothing is changed.
    """
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # of another C library
            ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE_BYTES)
