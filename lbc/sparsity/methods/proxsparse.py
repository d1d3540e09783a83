"""ProxSparse: after every step a proximal map shrinks what keeps a block from being 2:4.

Liu et al., "ProxSparse: Regularized Learning of Semi-Structured Sparsity Masks for Pretrained
LLMs", ICML 2025. The regulariser of a block w of four weights is

    R(w) = |w₁w₂w₃| + |w₂w₃w₄| + |w₃w₄w₁| + |w₄w₁w₂|,

zero where at most two weights are not. After every update of the optimiser, whatever its learning
rate, each block z becomes the minimum of ½‖w − z‖² + λ R(w): the best of three candidates, with
signs and order of z. Of |z| sorted, the first keeps the two largest; the others solve
w_j = (z_j − λ Σ products of pairs of the others)₊ in turn, the smallest first, from w = 0, for
three weights and for four. All parameters are trained so until ``schedule.end``. There the two
largest of every block are kept, and with ``restore``, as published, the whole network goes back to
the values that training started from: what has been learned is the mask alone. If training
continues after it, it does so under the fixed mask.

The released code stops solving when all blocks of a layer together change by less than 10⁻⁸, or
after 100 rounds, and computes in bfloat16; here it is when no weight changes by more than one part
in 10⁷ of the layer's largest. Its second regulariser, of weights that stay dense, is off by default
there and is not offered.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from lbc.sparsity.attachment import attached_layers
from lbc.sparsity.conductor import Conductor, Run, replacement
from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.method_options import Form
from lbc.sparsity.method_options.proxsparse import Options
from lbc.sparsity.optimizer_state import forget_removed
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer

MOST_ROUNDS = 100
"""Rounds after which a candidate is taken as it is."""

TOLERANCE = 1e-7
"""Change, relative to the layer's largest weight, below which a candidate is found."""


def proximal_map(blocks: Tensor, strength: float) -> Tensor:
    """The w that minimises ½‖w − z‖² + λ R(w), for every block z: (blocks, 4) → (blocks, 4)."""
    sizes, order = blocks.abs().sort(dim=1, descending=True)
    z = sizes.T.contiguous()  # so that each place of all blocks is one piece of memory
    two = torch.cat([z[:2], torch.zeros_like(z[2:])])
    best, least = two, (z[2:].square().sum(0) / 2)
    for count in (3, 4):
        candidate = _solved(z, strength, count)
        value = (candidate - z).square().sum(0) / 2 + strength * regulariser(candidate)
        better = value < least
        best, least = torch.where(better, candidate, best), torch.where(better, value, least)
    shrunk = torch.empty_like(blocks).scatter_(1, order, best.T)
    return torch.copysign(shrunk, blocks)


def regulariser(w: Tensor) -> Tensor:
    """R of magnitudes (4, blocks): (blocks,)."""
    first, second, third, fourth = w.unbind()
    return first * second * (third + fourth) + third * fourth * (first + second)


def _solved(z: Tensor, strength: float, count: int) -> Tensor:
    """The fixed point for the ``count`` largest of every block, from w = 0: (4, blocks)."""
    w, bound = torch.zeros_like(z), TOLERANCE * float(z.amax()) if z.numel() else 0.0
    rows, before = w.unbind()[:count], torch.empty_like(z)
    for _ in range(MOST_ROUNDS):
        before.copy_(w)
        for j in reversed(range(count)):
            one, other, *rest = (row for k, row in enumerate(rows) if k != j)
            torch.addcmul(z[j], one, other, value=-strength, out=rows[j])
            for last in rest:
                rows[j].addcmul_(one + other, last, value=-strength)
            rows[j].clamp_min_(0)
        least, most = before.sub_(w).aminmax()
        if max(-float(least), float(most)) <= bound:
            break
    return w


class _ProxSparse(Conductor):
    """Maps every sparse weight after each update, and keeps what the network started from."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._options = cast(Options, run.options)
        self._sites = {layer.name: site for site, layer in attached_layers(run.model).items()}
        self._first: dict[str, Tensor] = {}
        if self._options.restore and self._searching:
            self._first = {name: value.clone() for name, value in self._tensors().items()}

    @property
    def _searching(self) -> bool:
        return any(layer.searching for layer in self._run.layers.values())

    def _tensors(self) -> dict[str, Tensor]:
        named = [*self._run.model.named_parameters(), *self._run.model.named_buffers()]
        return {name: value.detach() for name, value in named}

    def _weight(self, name: str) -> Tensor:
        """The dense weight of a layer, (O, I, *kernel)."""
        return self._sites[name].canonical(self._run.weights[name].detach())

    @torch.no_grad()
    def after_update(self, _step: int) -> None:
        for name, layer in self._run.layers.items():
            if layer.searching:
                weight = self._weight(name)
                blocks = proximal_map(layer.pattern.to_blocks(weight), self._options.strength)
                weight.copy_(layer.pattern.from_blocks(blocks, layer.shape))

    @torch.no_grad()
    def decide(self) -> None:
        for name, layer in self._run.layers.items():
            layer.see(self._weight(name))
            layer.remove(1)
            forget_removed(self._run.optimizer, layer)
        tensors = self._tensors()
        for name, value in self._first.items():
            tensors[name].copy_(value)
        self._first = {}

    def state(self) -> dict[str, Tensor]:
        return self._first

    def load(self, state: Mapping[str, Tensor]) -> None:
        kept = self._first if self._searching else {}
        self._first = {name: replacement(value, state[name]) for name, value in kept.items()}

    def numbers(self) -> dict[str, float]:
        """The share of blocks that are 2:4 already."""
        sparse = total = 0
        for name, layer in self._run.layers.items():
            kept = (layer.pattern.to_blocks(self._weight(name)) != 0).sum(1) <= layer.pattern.n
            sparse, total = sparse + int(kept.sum()), total + len(kept)
        return {"Blocks that are 2:4": sparse / total} if self._searching else {}


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer that is dense until its mask is fixed."""
    return MagnitudeLayer(name, weight, pattern)


conduct = _ProxSparse
