"""What a one-shot solver returns, and the choice within blocks that all of them share.

Solvers see one matrix W, (O, columns), and the statistics of what it is multiplied by; blocks are M
consecutive columns of a row. N of N:M counts the weights that are kept, where the released code of
these methods counts those that are pruned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.largest import largest
from lbc.sparsity.pattern import Pattern


@dataclass(frozen=True)
class Solution:
    """Exactly N kept of every block, ``mask`` (O, columns), and the new weight if it changes."""

    mask: Tensor
    weight: Tensor | None = None


Scores = Callable[[Tensor, InputStatistics], Tensor]
"""What each weight of W, (O, columns), is worth."""

Progress = Callable[[float], object]
"""Called often, with the completed fraction of what is computed; may raise to cancel it."""

Solver = Callable[[Tensor, InputStatistics, Pattern, Progress], Solution]


def ignore_progress(_share: float) -> None:
    """A ``Progress`` that does nothing."""


def part_of(progress: Progress, number: int, count: int) -> Progress:
    """The progress of one of ``count`` equal parts of what is computed, counted from 0."""
    return lambda share: progress((number + share) / count)


def keep_largest(scores: Tensor, pattern: Pattern) -> Tensor:
    """The N largest of every block, groups by their sums, the earliest among equals.

    Scores (O, columns), none negative, → bool.
    """
    return largest(scores.contiguous(), pattern)


def tiny(values: Tensor) -> float:
    """The smallest positive normal number of a tensor's type, where division needs one."""
    return torch.finfo(values.dtype).tiny
