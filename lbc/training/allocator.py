"""Memory that is freed in one training step and needed again in the next stays with the process.

glibc gives large blocks back to the kernel as soon as they are freed. Every step then takes its
gradients and masked weights page by page from the kernel again, each page cleared anew: that can
cost more than the arithmetic of an N:M mask.
"""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""Parameters of mallopt(3), from glibc's malloc.h."""

KEPT = 1 << 30
"""Free bytes, at the end of the heap, above which they are given back all the same."""

LARGEST_HELD = 32 << 20
"""Bytes of the largest block from the heap: what glibc itself rises to (mallopt(3))."""


def keep_freed_memory() -> bool:
    """Let this process reuse freed blocks of up to 32 MiB; False where the C library is no glibc.

    It is a setting of the whole process, dense training gains from it too, and nothing that is
    computed depends on it. The process stays as large as it was at its largest.
    """
    if not sys.platform.startswith("linux"):
        return False
    library = ctypes.CDLL(None)
    if not hasattr(library, "gnu_get_libc_version"):
        return False
    settings = {MMAP_THRESHOLD: LARGEST_HELD, TRIM_THRESHOLD: KEPT, TOP_PAD: LARGEST_HELD}
    return all(library.mallopt(name, value) for name, value in settings.items())
