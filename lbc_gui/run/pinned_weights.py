"""The weights of pinned blocks during training, which a history does not keep."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lbc.pictures.layer_copy import copy_block
from lbc.sparsity.arrays import Floats

if TYPE_CHECKING:
    from lbc.sparsity.sparsifier import Sparsifier

SHORTEST_INTERVAL = 0.1
"""Seconds between two looks at the weights."""

LARGEST_SHARE = 0.01
"""Share of the training thread's time that these looks may take."""


@dataclass(frozen=True)
class Pin:
    """One block of one layer."""

    layer: str
    block: int

    @property
    def text(self) -> str:
        return f"{self.layer or 'model'} · block {self.block}"


@dataclass(frozen=True)
class PinnedWeights:
    """The weights of the pinned blocks after ``epoch`` epochs, (M,) each."""

    epoch: float
    weights: Mapping[Pin, Floats]


class PinWatch:
    """A mailbox between trainer and window, for one look at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pins: tuple[Pin, ...] = ()
        self._seen: PinnedWeights | None = None
        self._epoch, self._not_before = -1.0, 0.0

    def begin(self) -> None:
        """A new run: nothing has been seen of it."""
        with self._lock:
            self._seen = None
            self._epoch, self._not_before = -1.0, 0.0

    def follow(self, pins: tuple[Pin, ...]) -> None:
        """Watch these from now on."""
        with self._lock:
            self._pins = pins
            self._epoch = -1.0  # one that is new is looked at though no step was taken

    def take(self) -> PinnedWeights | None:
        """The newest look, once."""
        with self._lock:
            seen, self._seen = self._seen, None
            return seen

    def look(self, sparsifier: Sparsifier, epoch: float) -> None:
        """Between steps, in the training thread: copy the weights where that is due."""
        began = time.monotonic()
        with self._lock:
            pins = self._pins
            if (
                not pins
                or self._seen is not None
                or epoch == self._epoch
                or began < self._not_before
            ):
                return
        copied = {pin: copy_block(sparsifier, pin.layer, pin.block) for pin in pins}
        weights = {pin: block for pin, block in copied.items() if block is not None}
        ended = time.monotonic()
        with self._lock:
            if pins == self._pins:
                self._seen, self._epoch = PinnedWeights(epoch, weights), epoch
            self._not_before = ended + max(SHORTEST_INTERVAL, (ended - began) / LARGEST_SHARE)
