"""Folders with the history of a short search, and nothing else of a run."""

from __future__ import annotations

from pathlib import Path

import torch

from lbc.runs.history_writer import HistoryWriter
from lbc.sparsity.sparsifier import Sparsifier
from tests.runs.searches import disturb, searched

LIVE = (6, 6, 6, 4, 4, 2, 1, 1, 1)
"""The most live combinations at each moment, from the start on: four epochs of two moments."""


def record_search(
    folder: Path, method: str = "lbc", moments: int = len(LIVE), seed: int = 0, pattern: str = "2:4"
) -> Sparsifier:
    """Write ``moments`` moments into a new folder; returns the network as it is at the last one."""
    torch.manual_seed(seed)
    sparsifier, infos = searched(pattern, method)
    folder.mkdir()
    writer = HistoryWriter(folder / "scores.history", infos, (len(LIVE) - 1) / 2)
    for moment, live in enumerate(LIVE[:moments]):
        if moment:
            disturb(sparsifier)
        if method == "sr-ste" or (method == "asp" and live == 1):
            sparsifier.remove(1)
        elif method == "lbc":
            sparsifier.remove(live)
        writer.append(moment / 2, sparsifier)
    writer.close()
    return sparsifier
