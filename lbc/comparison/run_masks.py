"""The mask of every sparse layer of a run on disk, at the last moment of its history."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from math import prod
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lbc.inspection.checkpoint import open_checkpoint
from lbc.inspection.errors import InspectionError
from lbc.inspection.rows import kept_rows
from lbc.runs.history_reader import Replay
from lbc.runs.run_state import read_state
from lbc.sparsity.arrays import Bools
from lbc.sparsity.combinations import kept_of
from lbc.sparsity.pattern import Pattern

MODEL = "model.safetensors"
"""The final weights, in the folder of a finished run."""

Words = npt.NDArray[np.uint64]


@dataclass(frozen=True, eq=False)
class LayerMask:
    """One layer's mask. ``bits`` (words,): one bit per weight, in the order of
    ``Pattern.to_blocks``, which is the same for every pattern; zeros fill the last word."""

    shape: tuple[int, ...]
    pattern: Pattern
    bits: Words

    @classmethod
    def of_blocks(cls, kept: Bools, shape: tuple[int, ...], pattern: Pattern) -> LayerMask:
        """A mask by blocks, (blocks, M)."""
        octets = np.zeros(-(-kept.size // 64) * 8, np.uint8)
        octets[: -(-kept.size // 8)] = np.packbits(kept)
        return cls(shape, pattern, octets.view(np.uint64))

    @property
    def size(self) -> int:
        """How many weights the layer has."""
        return prod(self.shape)

    @cached_property
    def kept(self) -> int:
        """How many of them the mask keeps."""
        return int(np.bitwise_count(self.bits).sum(dtype=np.int64))

    @property
    def tightest(self) -> Pattern | None:
        """The strictest pattern of the same M that it obeys, 1:M if it keeps nothing; None if it
        keeps all of a block."""
        kept = np.unpackbits(self.bits.view(np.uint8), count=self.size).reshape(-1, self.pattern.m)
        most = int(kept.sum(axis=1, dtype=np.int64).max(initial=0))
        if most == self.pattern.m:
            return None
        return replace(self.pattern, n=max(most, self.pattern.width))


@dataclass(frozen=True, eq=False)
class RunMasks:
    """The masks of a run after ``epoch`` epochs, by layer.

    ``decided``: every block had one combination left. Before that a mask is of the best
    combinations so far, so that it keeps N of every M as well.
    """

    epoch: float
    decided: bool
    layers: Mapping[str, LayerMask]


def open_search(folder: Path, method: str) -> Replay:
    """The history of a run, if it is whole and tells of a search for masks.

    Raises ValueError with a sentence that names the run if not.
    """
    if method == "dense":
        raise ValueError(f"{folder.name} was trained dense: it has no masks.")
    replay = Replay(folder)
    if replay.damage:
        raise ValueError(replay.damage)
    # At the start all combinations are equal, and the first of them would count as the best.
    if not replay.moments or replay.moments[-1].epoch <= 0:
        raise ValueError(f"{folder.name} has no masks yet: no moment after its start is recorded.")
    return replay


def read_masks(folder: Path, method: str) -> RunMasks:
    """The last masks of a run of a ``method``, also while another process trains it.

    Where the history is missing or damaged, those of the final weights if there are any. Raises
    ValueError or OSError with a sentence if it has no masks that can be read.
    """
    try:
        replay = open_search(folder, method)
        last = len(replay.moments) - 1
        layers = {}
        for info in replay.layers:
            kept = replay.best_mask(info.name, last)
            layers[info.name] = LayerMask.of_blocks(kept, info.shape, info.pattern)
    except (OSError, ValueError):
        if method != "dense" and (folder / MODEL).is_file():
            with suppress(OSError, ValueError, InspectionError):
                return _read_final(folder)
        raise
    moment = replay.moments[last]
    return RunMasks(moment.epoch, all(live == 1 for live in moment.live), layers)


def _read_final(folder: Path) -> RunMasks:
    """The masks of the final weights: a weight that is 0 by itself counts as removed."""
    epoch, layers = read_state(folder).epoch, {}
    with open_checkpoint(folder / MODEL) as checkpoint:
        for name, stated in checkpoint.metadata.layers.items():
            pattern, weight = Pattern.parse(stated), checkpoint.weight(name)
            if weight.ndim < 2:
                continue
            # A weight that the network keeps transposed obeys its N:M along the other dimension.
            for turned in (weight, weight.movedim(0, 1)):
                if turned.shape[1] % pattern.m == 0:
                    kept = kept_rows(turned).view(np.bool_).reshape(-1, pattern.m)
                    if (kept_of(kept, pattern) <= pattern.n).all():
                        shape = tuple(turned.shape)
                        layers[name] = LayerMask.of_blocks(kept, shape, pattern)
                        break
    return RunMasks(epoch, True, layers)
