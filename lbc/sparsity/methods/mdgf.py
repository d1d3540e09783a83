"""MdGf: masked weights take part with a factor β that falls from 1 to 0 (mask decay).

Bambhaniya et al., "Progressive Gradient Flow for Robust N:M Sparsity Training in Transformers",
CPAL 2025, arXiv 2402.04744. Dense for the first epochs, then with b = top-N |w| of every block,
anew in every step, W̃ = (b + β (1 − b)) ⊙ W: linear β = max(0, 1 − c t), exponential β = e^(−c t),
where t counts from the end of the dense phase. From t_f on β = 0, for the last share of epochs.

The gradient is that of the product, (b + β (1 − b)) ⊙ ∂L/∂W̃, by which the decay restricts the
gradients of masked weights as the abstract says. The released code passes ∂L/∂W̃ unchanged to all
weights: ``gradient: released``. Its t counts steps; here the rate c is per epoch, so that a run of
another batch size decays alike: multiply a rate per step by the steps of an epoch. A ``pull``
beside the released gradient, which acts from the first step, makes it SR-STE once β = 0.

While β > 0 the network uses every weight, so all combinations are live and the mask is full.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from lbc.sparsity.clocked_layer import Clock, ClockedLayer
from lbc.sparsity.largest import largest
from lbc.sparsity.layer_picture import LayerPicture
from lbc.sparsity.live_sets import is_plain
from lbc.sparsity.method_options import Form
from lbc.sparsity.method_options.mdgf import FACTOR, Options
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.straight_through import straight_through


class MdgfLayer(ClockedLayer):
    """W̃ = (b + β (1 − b)) ⊙ W; the number is β."""

    def forward(self, weight: Tensor) -> Tensor:
        self.see(weight)
        plain = is_plain(weight)
        options = cast("Options | None", self.options) or Options()
        if plain and self.number == self.DENSE and not options.pull:
            return weight
        mask = largest(weight.detach(), self.pattern)
        factor = self._factor(mask, weight.dtype, plain)
        if plain and not self.number:
            self.mask = mask
        if options.gradient == "released":
            return straight_through(weight, weight.detach() * factor, mask, options.pull)
        if options.pull:
            weight = straight_through(weight, weight.detach(), mask, options.pull)
        return weight * factor

    def _factor(self, mask: Tensor, kind: torch.dtype, plain: bool) -> Tensor:
        """b + β (1 − b)."""
        if plain and not self.number:
            return mask.view(torch.uint8)
        return mask.to(kind).clamp_min(self.number if plain else self.scalar.to(kind))

    def pictures(self) -> dict[str, LayerPicture]:
        mask = largest(self.seen, self.pattern)
        return {FACTOR: LayerPicture(self._factor(mask, torch.float32, plain=True).float())}


class Mdgf(Clock):
    """Sets β before each step."""

    def numbers(self) -> dict[str, float]:
        return {FACTOR: self.layers[0].number} if self.layers else {}


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer whose masked weights fade out."""
    return MdgfLayer(name, weight, pattern)


conduct = Mdgf
