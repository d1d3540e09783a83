"""Which checkpoints of a run are kept, so that forks can begin there, and what they take."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import pairwise
from math import inf
from typing import Protocol

from lbc.config import Experiment, Keep
from lbc.sparsity.pattern import Pattern

MOST_WITHIN_EPOCHS = 128
"""The most checkpoints kept at removals before steps: each of them is written for that alone."""

MOST_EPOCHS = 1_000
"""The most moments at which the schedule is asked: removals of longer runs are counted roughly."""

OVERHEAD = 1_000
"""Bytes of a checkpoint for each tensor's name, place and padding, about."""


class KeptSteps:
    """At which steps of a run the experiment asks to keep a checkpoint."""

    def __init__(self, keep: Keep, steps: int) -> None:
        self._keep = keep
        self._apart = steps / MOST_WITHIN_EPOCHS
        self._last = -inf
        self._warned = False

    def at_epoch(self, epoch: int, removed: bool) -> bool:
        """Whether to keep the checkpoint at the end of an epoch, after its removal if any."""
        return self._keep.asks_for(epoch, removed)

    def at_removal(self, step: int) -> bool:
        """Whether to write and keep a checkpoint at a removal before a step."""
        if self._keep.every != "removal" or step - self._last < self._apart:
            return False
        self._last = step
        return True

    def warn_once(self) -> bool:
        """True the first time: one sentence says that checkpoints are too large."""
        first, self._warned = not self._warned, True
        return first


class _Layer(Protocol):
    @property
    def blocks(self) -> int: ...

    @property
    def pattern(self) -> Pattern | None: ...


def checkpoint_size(
    experiment: Experiment, layers: Iterable[_Layer], parameters: int, form: str | None
) -> int:
    """About how many bytes a checkpoint of the experiment takes while combinations compete.

    ``parameters`` counts those of the plain model. Float32 weights, scores and their moments, a
    byte of mask for each weight of a sparse layer, and the live bits.
    """
    optimizer = experiment.optimizer
    moments = optimizer.momentum > 0 if optimizer.name == "sgd" else 2
    size = 4 * parameters * (1 + moments + (experiment.training.ema_decay > 0))
    for layer in layers:
        if layer.pattern is None:
            continue
        per_block = {"per_weight": layer.pattern.m, "per_combination": layer.pattern.count}
        scores = layer.blocks * per_block[form] if form else 0
        size += 4 * scores * (1 + moments) + layer.blocks * layer.pattern.m + OVERHEAD
        size += layer.blocks * -(-layer.pattern.count // 8)
    return size


def count_kept(experiment: Experiment, patterns: Iterable[Pattern]) -> int:
    """How many checkpoints ``training.keep.every`` asks for in a whole run."""
    keep, schedule = experiment.training.keep, experiment.schedule
    epochs = experiment.training.epochs
    if keep.every == "never":
        return 0
    if keep.every != "removal":
        return epochs // int(keep.every.partition(" ")[0])
    method = experiment.method
    within = schedule.every == "step" and "every" in method.schedule_settings
    grid = MOST_WITHIN_EPOCHS if within else min(epochs, MOST_EPOCHS)
    live = [
        [method.live(schedule.as_schedule(), at, epochs * k / grid)
         for at in set(patterns)]
        for k in range(grid + 1)
    ]  # fmt: skip
    return sum(now != before for before, now in pairwise(live))


def describe_kept(
    experiment: Experiment, layers: Collection[_Layer], parameters: int, form: str | None
) -> str:
    """A sentence on what the kept checkpoints will take on disk; empty if none is asked for."""
    count = count_kept(experiment, [layer.pattern for layer in layers if layer.pattern])
    if not count:
        return ""
    size = checkpoint_size(experiment, layers, parameters, form)
    limit = experiment.training.keep.at_most
    fitting = min(count, limit // size)
    if not fitting:
        return (
            f"No checkpoint will be kept for forks: one takes about {in_words(size)}, and "
            f"training.keep.at_most allows {in_words(limit)}."
        )
    rest = f" of {count:,}, evenly spaced" if fitting < count else ""
    return (
        f"Checkpoints kept for forks: {fitting:,}{rest}, about {in_words(fitting * size)} on disk."
    )


def in_words(size: int) -> str:
    """An amount of bytes, such as ``3.4 MiB``."""
    power = min((size.bit_length() - 1) // 10, 4) if size else 0
    amount = size / 1024**power
    digits = 1 if power and amount < 100 else 0
    return f"{amount:,.{digits}f} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
