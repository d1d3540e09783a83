"""The order of the training samples in an epoch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

MIN_BATCH_SIZE = 2
"""BatchNorm cannot train on one sample."""


def batches(
    length: int,
    batch_size: int,
    seed: int,
    epoch: int,
    start: int = 0,
    min_size: int = MIN_BATCH_SIZE,
    repeats: int = 1,
) -> Iterator[Tensor]:
    """Yield the shuffled indices 0 … length - 1 in batches (int64), starting at batch ``start``.

    The order depends only on (seed, epoch), so that an interrupted epoch can be resumed. The sizes
    are those of ``batch_sizes``.

    With ``repeats`` (repeated augmentation, Hoffer et al., 2020) each index occurs that many times
    in a row, and an epoch of the same length visits 1/repeats of the indices. A batch contains all
    first copies, then all second copies and so on: if it contains every copy of at least two
    indices, copies of the same index are never neighbours.
    """
    generator = torch.Generator().manual_seed(mix_seed(seed, epoch))
    order = torch.randperm(length, generator=generator)
    sizes = batch_sizes(length, batch_size, min_size)
    if repeats == 1:
        return iter(torch.split(order, sizes)[start:])
    repeated = torch.split(order.repeat_interleave(repeats)[:length], sizes)
    copy = torch.split(torch.arange(length) % repeats, sizes)
    return (
        rows[which.argsort(stable=True)]
        for rows, which in zip(repeated[start:], copy[start:], strict=True)
    )


def batch_sizes(length: int, batch_size: int, min_size: int = MIN_BATCH_SIZE) -> list[int]:
    """The size of each batch of an epoch; its length is the number of steps.

    The last batch has the remaining samples; if they are fewer than ``min_size``, they are added to
    the previous batch.
    """
    full, remainder = divmod(length, batch_size)
    sizes = [batch_size] * full
    if remainder < min_size and full:
        sizes[-1] += remainder
    elif remainder:
        sizes.append(remainder)
    return sizes


def mix_seed(*numbers: int) -> int:
    """Combine several numbers into one well-mixed 64-bit seed."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return int(state[0])
