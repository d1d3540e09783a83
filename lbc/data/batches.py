"""The order in which an epoch visits the training samples."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

FEWEST = 2
"""BatchNorm cannot train on a single sample."""


def batches(
    length: int,
    batch_size: int,
    seed: int,
    epoch: int,
    start: int = 0,
    fewest: int = FEWEST,
    repeats: int = 1,
) -> Iterator[Tensor]:
    """Every index 0 … length - 1, shuffled, as int64 tensors, from batch ``start`` on.

    The order is that of (seed, epoch) and nothing else: an epoch taken up in its middle goes on as
    it would have. Sizes are those of ``batch_sizes``.

    With ``repeats`` (Hoffer et al., 2020) every index comes that often in a row, and the epoch,
    which is as long as ever, visits 1/repeats of all. A batch holds all first copies, then all
    second ones, and so on: where it holds every copy of two or more indices, no two copies of one
    index are neighbours.
    """
    generator = torch.Generator().manual_seed(mixed_seed(seed, epoch))
    order = torch.randperm(length, generator=generator)
    sizes = batch_sizes(length, batch_size, fewest)
    if repeats == 1:
        return iter(torch.split(order, sizes)[start:])
    repeated = torch.split(order.repeat_interleave(repeats)[:length], sizes)
    copy = torch.split(torch.arange(length) % repeats, sizes)
    return (
        rows[which.argsort(stable=True)]
        for rows, which in zip(repeated[start:], copy[start:], strict=True)
    )


def batch_sizes(length: int, batch_size: int, fewest: int = FEWEST) -> list[int]:
    """How many samples each batch of an epoch holds; its length is the steps in an epoch.

    The last batch holds what is left. Where that would be less than ``fewest`` it joins the batch
    before.
    """
    whole, left = divmod(length, batch_size)
    sizes = [batch_size] * whole
    if left < fewest and whole:
        sizes[-1] += left
    elif left:
        sizes.append(left)
    return sizes


def mixed_seed(*numbers: int) -> int:
    """One seed of 64 bits out of several numbers, each of which changes it beyond recognition."""
    state = np.random.SeedSequence(numbers).generate_state(1, np.uint64)
    return int(state[0])
