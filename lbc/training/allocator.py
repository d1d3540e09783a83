"""Settings of the C allocator that keep freed memory in the process for the next training step.

By default glibc returns large blocks to the kernel when they are freed. Every step then allocates
its gradients and masked weights again page by page, and the kernel clears each page: this can cost
more than the arithmetic of an N:M mask.
"""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3), from glibc's malloc.h."""

MAX_FREE = 1 << 30
"""Bytes of free memory at the end of the heap above which the excess is returned."""

MAX_HEAP_BLOCK = 32 << 20
"""Largest block, in bytes, allocated from the heap: the maximum glibc allows (mallopt(3))."""


def keep_freed_memory() -> bool:
    """Let this process reuse freed blocks of up to 32 MiB; return False without glibc.

    The setting affects the whole process and speeds up dense training too. Results do not depend
    on it. The process keeps the memory of its peak.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = {MMAP_THRESHOLD: MAX_HEAP_BLOCK, TRIM_THRESHOLD: MAX_FREE, TOP_PAD: MAX_HEAP_BLOCK}
    return all(library.mallopt(name, value) for name, value in settings.items())
