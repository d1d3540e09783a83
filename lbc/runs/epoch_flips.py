"""How many blocks of each layer changed their best combination within an epoch."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from lbc.runs.history_reader import MomentInfo, Replay


@dataclass(frozen=True)
class EpochFlips:
    """``shares`` of the blocks, by layer, that have another best combination after ``last`` epochs
    than after ``first``. Every history has a moment at the end of each epoch."""

    first: float = 0.0
    last: float = 0.0
    shares: Mapping[str, float] = field(default_factory=dict)


def latest_epoch(moments: Sequence[MomentInfo], at: int | None) -> tuple[int, int] | None:
    """The moments before and after the last whole epoch up to ``at``, or up to the end; None if
    no epoch had ended."""
    end = len(moments) if at is None else at + 1
    done = int(moments[end - 1].epoch) if end else 0
    if done < 1:
        return None
    before, after = (
        bisect_right(moments, epoch, hi=end, key=lambda moment: moment.epoch) - 1
        for epoch in (done - 1.0, float(done))
    )
    return max(before, 0), after


def flipped_share(replay: Replay, name: str, before: int, after: int) -> float:
    """The share of a layer's blocks whose best combination differs between two moments.

    Raises as ``Replay.layer``.
    """
    return float((replay.winners(name, before) != replay.winners(name, after)).mean())
