"""Since when each weight has been removed, read from a run's history while nothing else is drawn.

Runs in the drawing thread.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lbc.mask_picture import Flags
from lbc.runs.replay import Replay

MOMENTS_AT_A_TIME = 4
"""How many moments are read before looking whether there is something to draw."""

Moments = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Since:
    """When each position of a layer was removed, as of moment ``at``: int32 (blocks, M), −1 where
    it is kept, and the epochs of the moments."""

    moments: Moments
    epochs: tuple[float, ...]
    at: int

    def epoch(self, block: int, position: int) -> float | None:
        """The epoch from which one position has been removed; None where it is kept."""
        moment = int(self.moments[block, position])
        return self.epochs[moment] if 0 <= moment <= self.at else None


class Removals:
    """Of one layer: the moment from which each position has been removed."""

    def __init__(self) -> None:
        self._begin(None, "")

    def want(self, replay: Replay | None, layer: str) -> None:
        """Read about this layer from now on."""
        if (replay, layer) != (self._replay, self._layer):
            self._begin(replay, layer)

    def _begin(self, replay: Replay | None, layer: str) -> None:
        self._replay, self._layer = replay, layer
        self._known = 0
        self._mask: Flags | None = None
        self._since: Moments | None = None
        self._for_good = True

    @property
    def behind(self) -> bool:
        """Whether there are moments that have not been read."""
        return self._replay is not None and self._known < len(self._replay.moments)

    def advance(self) -> None:
        """Read some moments more. What cannot be read is left out."""
        replay = self._replay
        assert replay is not None
        end = min(self._known + MOMENTS_AT_A_TIME, len(replay.moments))
        try:
            for mask in replay.masks(self._layer, range(self._known, end)):
                self._take(mask)
        except (KeyError, OSError, ValueError):
            self._known = len(replay.moments)

    def since(self, moment: int | None) -> Since | None:
        """As of ``moment``, or of the last one; None where it is not known, or not yet."""
        replay, since = self._replay, self._since
        if replay is None or since is None or self.behind:
            return None
        last = len(replay.moments) - 1
        at = last if moment is None else moment
        if at < last and not self._for_good:
            return None
        return Since(since, tuple(one.epoch for one in replay.moments), at)

    def _take(self, mask: Flags) -> None:
        if self._since is None or self._mask is None:
            self._since = np.where(mask, np.int32(-1), np.int32(0))
        elif mask is not self._mask:
            gone, back = self._mask & ~mask, mask & ~self._mask
            if back.any():  # chosen anew, as SR-STE does: what was before cannot be told from it
                self._for_good = False
            now = np.where(gone, np.int32(self._known), self._since)
            self._since = np.where(back, np.int32(-1), now)  # others may hold the one before
        self._mask = mask
        self._known += 1
