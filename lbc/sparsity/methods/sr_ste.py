"""SR-STE: the largest magnitudes of every block, chosen anew in every step.

Zhou et al., "Learning N:M Fine-grained Structured Sparse Neural Networks From Scratch", ICLR 2021.
Forward W̃ = b ⊙ W with b = top-N |w| of the present weights; backward straight through, with a pull
on what is masked: g = ∂L/∂W̃ + λ (1 − b) ⊙ W, λ = 2·10⁻⁴. The pull is part of the gradient, so it
enters the momentum.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from lbc.sparsity.live_sets import LiveSets, is_plain, keep_best
from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.method_options import Form
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer

PULL = 2e-4
"""λ of the paper."""


class SrSteLayer(MagnitudeLayer):
    """One combination lives in every block: the largest; which one may change with each step."""

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        self.remove(1)

    @property
    def searching(self) -> bool:
        return True

    def sync_live_sets(self) -> None:
        self.remove(1)

    @torch.inference_mode(False)
    @torch.no_grad()
    def choose(
        self,
        _live: int,
        /,
        _scored: Callable[[int], object] = lambda _: None,
        _weight: Tensor | None = None,
    ) -> tuple[LiveSets, Tensor]:
        """The largest of the present weights."""
        mask = self._largest(self.seen)
        winners = self.pattern.index_of(self.pattern.to_blocks(mask)).int()
        return LiveSets(self.blocks, self.pattern.count, mask.device, winners=winners), mask

    @torch.no_grad()
    def _largest(self, weight: Tensor) -> Tensor:
        best = keep_best(self.pattern.to_blocks(weight.abs()), self.pattern.n)
        return self.pattern.from_blocks(best, self.shape)

    def forward(self, weight: Tensor) -> Tensor:
        self.see(weight)
        mask = self._largest(weight.detach())
        if is_plain(weight):
            mask = self.mask.copy_(mask).view(torch.uint8)  # faster than bools
        product: Tensor = _StraightThrough.apply(weight, mask)  # type: ignore[no-untyped-call]
        return product


class _StraightThrough(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, mask: Tensor) -> Tensor:
        return weight * mask

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.save_for_backward(inputs[0], output)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        weight, product = ctx.saved_tensors
        return torch.add(grad, weight - product, alpha=PULL), None


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer whose mask follows its weights."""
    return SrSteLayer(name, weight, pattern)
