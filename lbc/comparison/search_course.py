"""When the blocks of a run took their final combination, and how often they changed it before."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lbc.comparison.run_masks import open_search
from lbc.runs.history_codec import SearchState
from lbc.runs.history_reader import Replay
from lbc.sparsity.arrays import Indices

Times = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class LayerCourse:
    """Of one layer's ``blocks``: how many changed their best combination within each epoch,
    ``flips`` (E,), and how many did for the last time by each moment, ``final`` (moments,)."""

    blocks: int
    flips: Indices
    final: Indices


@dataclass(frozen=True, eq=False)
class SearchCourse:
    """The search of one run, by layer; ``moments`` are epochs (moments,), from the start on.

    A block is decided at the moment since which its best combination has been the last one: not
    when the others were removed, which the schedule says. Flips are counted over the E whole
    epochs, as in ``lbc.runs.epoch_flips``.
    """

    moments: Times
    layers: Mapping[str, LayerCourse]

    @property
    def epochs(self) -> int:
        """E, the whole epochs."""
        return int(self.moments[-1])

    def whole(self) -> LayerCourse:
        """All layers together."""
        every = self.layers.values()
        return LayerCourse(
            sum(layer.blocks for layer in every),
            np.sum([layer.flips for layer in every], axis=0),
            np.sum([layer.final for layer in every], axis=0),
        )


def read_course(
    folder: Path, method: str, progress: Callable[[float], object] = lambda share: None
) -> SearchCourse:
    """Walk through the whole history of a run of a ``method``.

    ``progress`` receives the completed fraction, 0 to 1; what it raises ends the walk. Raises
    ValueError or OSError with a sentence if the history cannot be read.
    """
    replay = open_search(folder, method)
    moments = np.array([moment.epoch for moment in replay.moments])
    ends = [bisect_right(moments, epoch) - 1 for epoch in range(int(moments[-1]) + 1)]
    total = sum(info.blocks for info in replay.layers)
    layers: dict[str, LayerCourse] = {}
    for info in replay.layers:
        layers[info.name] = _walk(replay, info.name, info.blocks, ends)
        progress(sum(layer.blocks for layer in layers.values()) / total)
    return SearchCourse(moments, layers)


def _walk(replay: Replay, name: str, blocks: int, ends: list[int]) -> LayerCourse:
    """One layer; ``ends`` are the moments at the ends of the epochs, that of the start first."""
    count = len(replay.moments)
    flips: list[int] = []
    last = np.zeros(blocks, np.min_scalar_type(count))
    state: SearchState | None = None
    epoch: SearchState | None = None
    for moment in range(count):
        now = replay.state_after(name, moment, state)
        if state is not None:
            last[now.winners != state.winners] = moment
        if moment in ends:
            if epoch is not None:
                flips.append(int(np.count_nonzero(now.winners != epoch.winners)))
            epoch = now
        state = now
    final = np.bincount(last, minlength=count)
    return LayerCourse(blocks, np.array(flips, np.int64), final)
