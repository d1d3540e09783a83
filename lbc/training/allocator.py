"""Settings of the C allocator: freed memory is kept for the next training step, and returned to the
kernel after the last.

By default glibc returns large blocks to the kernel when they are freed. Every step then allocates
its gradients and masked weights again page by page, and the kernel clears each page: this can cost
more than the arithmetic of an N:M mask.
"""

from __future__ import annotations

import ctypes
import sys

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD, ARENA_MAX = -1, -2, -3, -8
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
    library = _glibc()
    if library is None:
        return False
    settings = {MMAP_THRESHOLD: MAX_HEAP_BLOCK, TRIM_THRESHOLD: MAX_FREE, TOP_PAD: MAX_HEAP_BLOCK}
    return all(library.mallopt(name, value) for name, value in settings.items())


def share_heap() -> None:
    """Let threads that start from now on allocate from one heap, where glibc is used.

    By default each gets a heap of its own, and what it freed at the end of that heap is never
    returned: a process that trains in one thread after the other grows by every peak.
    """
    if library := _glibc():
        library.mallopt(ARENA_MAX, 1)


def return_freed_memory() -> None:
    """Return to the kernel what is freed but kept, where glibc is used."""
    if library := _glibc():
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if hasattr(library, "gnu_get_libc_version") else None
