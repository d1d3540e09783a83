"""What became of one layer, gathered from the moments of its history, oldest first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lbc.live import unpack
from lbc.mask_statistics import (
    dead_inputs,
    dead_outputs,
    flips,
    mask_of_live,
    mask_of_winners,
    winner_counts,
)
from lbc.pattern import Pattern
from lbc.runs.history import Moment

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Scores:
    """The scores of a layer at one moment: (blocks, C), −inf where removed."""

    epoch: float
    values: Array
    live: int


@dataclass(frozen=True, eq=False)
class LayerStory:
    """One sparse layer. ``epochs``, ``changed`` and ``flipped``: (moments,).

    ``changed``: share of the blocks whose best combination is another one than a moment before;
    ``flipped``: share of the weights that the mask let in or out, NaN where the live sets were not
    kept. ``winners``: best combination of each block at the end, (blocks,). ``live``: combinations
    left in a block at the end, None where not kept. ``scores``: the last ones of which a block had
    several, or the last of all.
    """

    name: str
    shape: tuple[int, ...]
    pattern: Pattern
    epochs: npt.NDArray[np.float64]
    changed: npt.NDArray[np.float64]
    flipped: npt.NDArray[np.float64]
    winners: Tensor | None
    live: int | None
    scores: Scores | None
    kept: Tensor | None

    @property
    def begun(self) -> bool:
        """Whether there is a moment after the start, where all combinations are equal."""
        return len(self.epochs) > 0 and self.epochs[-1] > 0

    @property
    def blocks(self) -> int:
        return prod(self.shape) // self.pattern.m

    @cached_property
    def mask(self) -> Tensor | None:
        """The mask at the end; the winners' where the live sets were not kept."""
        if self.kept is not None or self.winners is None:
            return self.kept
        return mask_of_winners(self.winners, self.pattern, self.shape)

    @property
    def mask_is_exact(self) -> bool:
        """Whether ``mask`` comes from live sets."""
        return self.kept is not None

    @cached_property
    def counts(self) -> Tensor | None:
        """How many blocks each combination has won, (C,)."""
        return None if self.winners is None else winner_counts(self.winners, self.pattern)

    @cached_property
    def dead(self) -> tuple[int, int] | None:
        """Outputs and input columns in which the mask keeps nothing."""
        if self.mask is None:
            return None
        return len(dead_outputs(self.mask)), len(dead_inputs(self.mask))


class StoryTeller:
    """Takes one moment after the other and keeps no more of them than the story needs.

    Raises ValueError where the shape has no blocks of the pattern.
    """

    def __init__(self, name: str, shape: tuple[int, ...], pattern: Pattern) -> None:
        if not all(isinstance(size, int) and size > 0 for size in shape):
            raise ValueError(f"the layer {name!r} has the shape {shape}.")
        pattern.input_width(shape)
        self._name, self._shape, self._pattern = name, shape, pattern
        self._blocks = prod(shape) // pattern.m
        self._rows: list[tuple[float, float, float]] = []
        self._winners: Array | None = None
        self._live: Array | None = None
        self._mask: Tensor | None = None
        self._scores: Scores | None = None

    def add(self, moment: Moment) -> None:
        """Follow the layer to ``moment``. Raises ValueError where that does not fit the layer."""
        winners, live = moment.winners.get(self._name), moment.live.get(self._name)
        if winners is None:
            return
        self._check(winners, live, moment.scores.get(self._name))
        changed = 0.0 if self._winners is None else float((winners != self._winners).mean())
        self._winners = winners
        self._rows.append((moment.epoch, changed, self._follow_mask(live)))
        if self._name in moment.scores:
            values = moment.scores[self._name]
            left = int((values[0] > -np.inf).sum())
            if left > 1 or self._scores is None or self._scores.live <= 1:
                self._scores = Scores(moment.epoch, values, left)

    def story(self) -> LayerStory:
        """What became of the layer up to the last moment."""
        epochs, changed, flipped = np.array(self._rows, dtype=np.float64).reshape(-1, 3).T
        winners = (
            None if self._winners is None else torch.from_numpy(self._winners.astype(np.int64))
        )
        live = None
        if self._live is not None:
            live = int(unpack(torch.from_numpy(self._live[:1].copy()), self._pattern.count).sum())
        return LayerStory(
            self._name, self._shape, self._pattern, epochs, changed, flipped,
            winners, live, self._scores, self._mask,
        )  # fmt: skip

    def _follow_mask(self, live: Array | None) -> float:
        """Share of the weights that flip from the mask before to that of ``live``."""
        if live is None:
            self._live = self._mask = None
            return float("nan")
        if self._live is not None and np.array_equal(live, self._live):
            return 0.0  # as most moments are: nothing was removed
        before, packed = self._mask, torch.from_numpy(live.copy())
        self._live, self._mask = live, mask_of_live(packed, self._pattern, self._shape)
        return 0.0 if before is None else flips(before, self._mask).share

    def _check(self, winners: Array, live: Array | None, scores: Array | None) -> None:
        count, blocks = self._pattern.count, self._blocks
        width = -(-count // 8)
        fits = winners.shape == (blocks,) and winners.dtype.kind == "u" and winners.max() < count
        if live is not None:
            fits = fits and live.shape in {(1, width), (blocks, width)} and live.dtype == np.uint8
        if scores is not None:
            fits = fits and scores.shape == (blocks, count) and scores.dtype == np.float16
        if not fits:
            raise ValueError(f"a moment does not fit the layer {self._name!r}.")
