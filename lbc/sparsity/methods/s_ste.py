"""S-STE: a continuous projection, in which no weight jumps when it leaves or enters the mask.

Hu, Zhu and Chen, "S-STE: Continuous Pruning Function for Efficient 2:4 Sparse Pre-Training",
NeurIPS 2024; given there for 2:4, and defined here for every N:M.

Forward W̃ = β S(W), S(w) = sign(w) max(|w| − θ, 0) with θ the (N + 1)-th largest |w| of the block,
so at most N of a block are not zero. β = ⟨W, S⟩ / ⟨S, S⟩, which makes β S the best approximation of
W, is computed once, from the weights that training starts from, and then stays. The gradient
passes unchanged, without β, and nothing pulls on the others: g = ∂L/∂W̃.

In the weights of the finished model θ and β are included: they are W̃ itself. The unbiased sampling
of output gradients that the released code offers beside it is left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.largest import following, largest
from lbc.sparsity.live_sets import is_plain
from lbc.sparsity.magnitude_layer import MagnitudeLayer, RecomputedLayer
from lbc.sparsity.method_options import Form
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.straight_through import straight_through


class SSteLayer(RecomputedLayer):
    """W̃ = β S(W); the buffer ``scale`` is β."""

    scale: Tensor

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        self.register_buffer("scale", weight.new_ones(()))
        self.begin(weight)

    @torch.no_grad()
    def begin(self, weight: Tensor, /) -> None:
        shrunk = self._shrunk(weight, self._following(weight)).double()
        square = shrunk.square().sum()
        scale = (weight * shrunk).sum() / square if square else square.new_ones(())
        self.scale.copy_(scale)

    def forward(self, weight: Tensor) -> Tensor:
        self.see(weight)
        values = weight.detach()
        if is_plain(weight):
            after = self._empty(values)
            self.mask = largest(values, self.pattern, after)
        else:
            after = following(values, self.pattern)
        return straight_through(weight, self._shrunk(values, after) * self.scale)

    @torch.no_grad()
    def finished(self, weight: Tensor) -> Tensor:
        return self._shrunk(weight, self._following(weight)) * self.scale

    def _following(self, weight: Tensor) -> Tensor:
        after = self._empty(weight)
        largest(weight, self.pattern, after)
        return after

    def _empty(self, weight: Tensor) -> Tensor:
        """Room for one number a block, (O, I / M, *kernel)."""
        return torch.empty_like(weight[:, :: self.pattern.m])

    def _shrunk(self, weight: Tensor, after: Tensor) -> Tensor:
        """S(W), of the (N + 1)-th largest magnitudes."""
        out, groups, *kernel = after.shape
        bound = after.unsqueeze(2)
        parts = weight.view(out, groups, self.pattern.m, *kernel)
        return (parts - torch.clamp(parts, -bound, bound)).view(weight.shape)


class SSte(Conductor):
    """Computes β anew before the first step, in case weights were loaded after ``sparsify``."""

    def __init__(self, run: Run) -> None:
        self._layers = run.layers.values()

    def before_step(self, step: int) -> None:
        if step == 1:
            for layer in self._layers:
                if isinstance(layer, MagnitudeLayer):
                    layer.begin(layer.seen)


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer that shrinks its weights towards zero."""
    return SSteLayer(name, weight, pattern)


conduct = SSte
