"""Removal of combinations during training, with progress events and cancellation."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable

import torch

from lbc.runs.events import RemovalProgress, Untrained
from lbc.sparsity.optimizer_state import describe_untrained, untrained
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsifier import Sparsifier

PROGRESS_SECONDS = 0.2
"""Minimum seconds between RemovalProgress events; shorter removals emit none."""


class RemovalStoppedError(Exception):
    """The removal was cancelled before any combination was removed."""


def remove_combinations(
    sparsifier: Sparsifier,
    schedule: Schedule,
    epoch: float,
    optimizer: torch.optim.Optimizer,
    emit: Callable[[RemovalProgress | Untrained], None],
    keep_going: Callable[[], bool],
) -> bool:
    """Remove the combinations that exceed ``schedule`` at ``epoch``.

    ``keep_going`` is called repeatedly; if it returns False, the removal is cancelled: all live
    sets stay as they were, and the result is False. Layers that nothing has trained are named once,
    when they first lose combinations.
    """
    started = emitted = time.perf_counter()

    def on_progress(fraction: float) -> None:
        nonlocal emitted
        if not keep_going():
            raise RemovalStoppedError
        now = time.perf_counter()
        if now - emitted > PROGRESS_SECONDS or (fraction == 1 and emitted > started):
            emitted = now
            emit(RemovalProgress(epoch, fraction))

    complete = {k: layer for k, layer in sparsifier.layers.items() if layer.live_sets.complete}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "No score of layer")  # emitted instead
            sparsifier.follow(schedule, epoch, optimizer, on_progress)
    except RemovalStoppedError:
        return False
    reduced = {name: layer for name, layer in complete.items() if not layer.live_sets.complete}
    if names := untrained(reduced):
        emit(Untrained(describe_untrained(names)))
    return True
