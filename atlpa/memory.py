"""Keep memory that was freed: large tensors otherwise cost a page fault for every 4 KiB each time they are made."""

from __future__ import annotations

import ctypes
import sys

# malloc.h of glibc.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_memory() -> bool:
    """Let the C library give no memory back to the system until the process ends; says whether it could.

    On Linux, glibc fetches every tensor above 32 MiB from the system and returns it after use. A forward and backward
    pass makes hundreds of them. What is kept is at most what the process needed at its peak. Other systems are left
    alone.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:  # a C library other than glibc
        return False
    return all(
        mallopt(option, value) for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, -1), (M_TOP_PAD, 1 << 26))
    )
