"""Copies one layer in the training thread. Takes the trainer's tensors, but does not load torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from lbc.pictures.layer_moment import Watch, sampled
from lbc.runs.layer_moment import LayerMoment, LayerState, PictureFacts
from lbc.sparsity.arrays import Floats
from lbc.sparsity.blocks import block_coordinates

if TYPE_CHECKING:
    from torch import Tensor

    from lbc.sparsity.sparse_layer import SparseLayer
    from lbc.sparsity.sparsifier import Sparsifier


def copy_moment(
    sparsifier: Sparsifier, watch: Watch, epoch: float, layers: tuple[LayerState, ...] = ()
) -> LayerMoment | None:
    """Copy what ``watch`` asks for; None if the model has no such layer."""
    layer = sparsifier.layers.get(watch.layer)
    if layer is None:
        return None
    block = watch.block
    pictures = layer.pictures()
    shown = pictures.get(watch.picture)
    if shown is not None:
        picture: Floats = _copy(shown.values.expand(layer.shape).float())
        facts = PictureFacts(watch.picture, shown.low, shown.high, shown.caption)
    return replace(
        _copied(layer, epoch, lambda values: values),
        weights=_copy(_dense(sparsifier, layer).float()) if watch.weights else None,
        block_weights=None if block is None else copy_block(sparsifier, layer.name, block),
        layers=layers,
        picture=None if shown is None else picture,
        picture_facts=None if shown is None else facts,
        pictures=tuple(pictures),
    )


def copy_block(sparsifier: Sparsifier, name: str, block: int) -> Floats | None:
    """Copy the weights of one block, (M,), masked ones too; None if there is no such block."""
    layer = sparsifier.layers.get(name)
    if layer is None or block >= layer.blocks:
        return None
    places = zip(*block_coordinates(layer.shape, layer.pattern, block), strict=True)
    weights: Floats = _copy(_dense(sparsifier, layer)[tuple(map(list, places))].float())
    return weights


def copy_sample(layer: SparseLayer, epoch: float) -> LayerMoment:
    """Copy what ``sample`` takes from a layer."""
    return _copied(layer, epoch, lambda values: sampled(values, layer.shape))


def _copied(layer: SparseLayer, epoch: float, part: Callable[[Tensor], Tensor]) -> LayerMoment:
    layer.sync_live_sets()
    raw, additive = layer.stored_scores()
    mask = part(layer.mask)
    return LayerMoment(
        name=layer.name,
        epoch=epoch,
        pattern=layer.pattern,
        shape=tuple(mask.shape),
        additive=additive,
        raw=_copy(part(raw).float()),
        packed=_copy(part(layer.packed)),
        mask=_copy(mask),
    )


def _dense(sparsifier: Sparsifier, layer: SparseLayer) -> Tensor:
    return sparsifier.canonical(layer.name, sparsifier.dense_weight(layer.name).detach())


def _copy(tensor: Tensor) -> Any:
    # A copy: numpy() shares memory with the weights, and the optimiser changes them.
    array = np.array(tensor.detach().cpu().contiguous().numpy())
    array.flags.writeable = False
    return array
