"""The N:M that boxes offer; every other can be typed."""

from __future__ import annotations

PATTERNS = (
    *("2:4", "1:2", "1:4", "1:8", "2:8", "4:8", "1:16", "2:16", "4:16", "8:16"),
    *("4:6", "6:8", "8:10", "10:12"),  # exact on 2:4 cores, see lbc.sparsity.sliding_windows
    *("3:6", "5:10", "6:12", "4:8x2"),
)
