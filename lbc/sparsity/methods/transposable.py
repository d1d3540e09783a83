"""Transposable masks: one mask that obeys N:M along the inputs and along the outputs.

Hubara et al., "Accelerated Sparse Neural Training: A Provable and Efficient Method to Find N:M
Transposable Masks", NeurIPS 2021; as a training method Hu et al., "Accelerating Transformer
Pre-training with 2:4 Sparsity" (FST), ICML 2024. Every tile of M outputs × M inputs, at one kernel
position, keeps N weights in each row and column: see ``lbc.sparsity.tiles`` for how, exactly for
M up to 4 and approximately above. So the products with W̃ = b ⊙ W and with its transpose are both
N:M, and forward and backward pass use the same mask.

The mask is chosen by |W| every ``interval`` steps, 40 as in FST, and stays between. Gradient
straight through, with SR-STE's pull: ∂L/∂W̃ + λ (1 − b) ⊙ W, λ = 2·10⁻⁴ (FST uses 6·10⁻⁵ or this,
by model). FST's dense last sixth of training and its sampled output gradients are not part of this
method; the finished network obeys the pattern. In a grouped convolution tiles lie within groups.
Without a conductor, whose clock this needs, every forward pass chooses the mask, as in SR-STE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor

from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.live_sets import LiveSets, is_plain
from lbc.sparsity.method_options import Form
from lbc.sparsity.methods.sr_ste import OwnPullLayer
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.tiles import transposable_mask


class TransposableLayer(OwnPullLayer):
    """A mask that changes by ``refresh`` alone, once there was one."""

    kept = False
    """Whether the mask stays until the next refresh; if not, each forward pass chooses it."""

    def forward(self, weight: Tensor) -> Tensor:
        if not self.kept:
            return super().forward(weight)
        self.see(weight)
        mask = self.mask.to(weight.device)
        return self.straight_through(weight, mask.view(torch.uint8) if is_plain(weight) else mask)

    @torch.inference_mode(False)
    def refresh(self) -> None:
        """Choose the mask of the present weights."""
        self.apply_choice(*super().choose(1))

    def remove(self, live: int, /) -> None:
        if not self.kept:
            super().remove(live)
            self.kept = False

    def choose(
        self,
        live: int,
        /,
        scored: Callable[[int], object] = lambda _: None,
        weight: Tensor | None = None,
    ) -> tuple[LiveSets, Tensor]:
        """The present mask, if it stays."""
        return (self.live_sets, self.mask) if self.kept else super().choose(live, scored, weight)

    def apply_choice(self, live_sets: LiveSets, mask: Tensor, /) -> None:
        super().apply_choice(live_sets, mask)
        self.kept = True

    @torch.no_grad()
    def largest(self, weight: Tensor) -> Tensor:
        """The transposable mask of largest magnitude: bool, shaped like the weight."""
        return transposable_mask(weight.abs(), self.pattern)


class Transposable(Conductor):
    """Refreshes the masks."""

    def __init__(self, run: Run) -> None:
        self._layers = cast("Mapping[str, TransposableLayer]", run.layers)
        options: Any = run.options
        self._interval = int(options.interval)
        for name, layer in self._layers.items():
            groups = getattr(run.modules[name], "groups", 1)
            outputs, m = layer.shape[0] // groups, layer.pattern.m
            if outputs % m:
                raise ValueError(
                    f"transposable cannot train layer {name!r}: its groups have {outputs} outputs "
                    f"each, which is not a multiple of {m}. Leave it dense, by skip or layers."
                )

    def before_step(self, step: int) -> None:
        if (step - 1) % self._interval == 0:
            for layer in self._layers.values():
                layer.refresh()


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer with one mask for both directions."""
    return TransposableLayer(name, weight, pattern)


conduct = Transposable
