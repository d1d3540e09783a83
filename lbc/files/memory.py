"""The memory of this machine, against which sizes that a file claims are compared."""

from __future__ import annotations

import os
import sys


def physical_memory() -> int:
    """Bytes; unlimited where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize
