"""What a user may remove by hand: pinning and banning single combinations."""

from __future__ import annotations

import torch
from torch import Tensor

from lbc.sparsity.live_sets import rows_of
from lbc.sparsity.sparse_layer import SparseLayer


def allowed_without(layer: SparseLayer, combination: int, block: int | None) -> Tensor:
    """What stays allowed once ``combination`` is banned: bool (C,).

    Raises ValueError if the combination is removed already, or is the last live one of a block.
    """
    live, counts = _live_at(layer, combination, block)
    last = int((live & (counts == 1)).sum())
    if last:
        raise ValueError(
            f"Combination {combination} is the last one live in {_where(layer, block, last)}, "
            "and each block needs one: ban it in other blocks, or another combination."
        )
    return torch.arange(layer.pattern.count) != combination


def allowed_alone(layer: SparseLayer, combination: int, block: int | None) -> Tensor:
    """What stays allowed once ``combination`` is pinned: bool (C,).

    Raises ValueError if the combination is removed in any such block, or has won in all of them.
    """
    live, counts = _live_at(layer, combination, block)
    removed = int((~live).sum())
    if removed:
        raise ValueError(
            f"Combination {combination} was removed in {_where(layer, block, removed)}, and what "
            "was removed never returns: pin one that is live, or pin it block by block."
        )
    if int(counts.max()) == 1:
        raise ValueError(f"Combination {combination} has won already in {_where(layer, block)}.")
    return torch.arange(layer.pattern.count) == combination


def _live_at(layer: SparseLayer, combination: int, block: int | None) -> tuple[Tensor, Tensor]:
    """Where a combination is live, bool, and how many are: (blocks,), or (1,) for one block."""
    if not layer.score_parameters():
        raise ValueError(
            f"Layer {layer.name!r} chooses by magnitude, and has no live sets to change: only the "
            "method lbc has."
        )
    counted = ("combination", combination, layer.pattern.count), ("block", block or 0, layer.blocks)
    for what, number, count in counted:
        if not 0 <= number < count:
            raise ValueError(
                f"Layer {layer.name!r} has no {what} {number}: it has {count:,}, counted from 0."
            )
    live = layer.live_sets.holds(combination, block)
    if not live.any():
        raise ValueError(
            f"Combination {combination} was removed in {_where(layer, block)} already."
        )
    return live, layer.live_sets.counts()[rows_of(block)]


def _where(layer: SparseLayer, block: int | None, count: int | None = None) -> str:
    if block is not None:
        return f"block {block} of layer {layer.name!r}"
    return f"layer {layer.name!r}" if count is None else f"{count:,} blocks of layer {layer.name!r}"
