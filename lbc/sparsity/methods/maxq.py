"""MaxQ: strong blocks are pruned first, and weights that matter along several axes are scaled up.

Xiang et al., "MaxQ: Multi-Axis Query for N:M Sparsity Network", CVPR 2024, arXiv 2312.07061, as in
the released code. With a = |W|, anew in every step, W̃ = m ⊙ W and m = b ⊙ (1 + f + k):

- b = top-N of every block, and 1 in the ⌊p · blocks⌋ blocks with the smallest Σa. The share p falls
  from 1 to 0 over whole epochs, from the method's start to its end.
- f, for each output: 0 for the n (M − N) / M smallest of its n weights, and for the others
  sigmoid((a − θ) / τ), with θ half way between the two values at the cut.
- k likewise, for each position of a kernel that has several, over all inputs and outputs.

The gradient passes unchanged, without m, and pulls on masked weights: ∂L/∂W̃ + λ (1 − b) ⊙ W.

In evaluation m is that of the present weights, and so it is in the finished model, whose weights
are m ⊙ W. The released code keeps that of the last step and renews it at the end of an epoch, which
is the same; its export for detection leaves out b, and what that writes does not obey N:M. Of
equal values at a cut of f or k it cuts any; here all of them are cut.
"""

from __future__ import annotations

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor

from lbc.sparsity.clocked_layer import Clock, ClockedLayer
from lbc.sparsity.largest import largest, positions
from lbc.sparsity.layer_picture import LayerPicture
from lbc.sparsity.live_sets import LiveSets, is_plain
from lbc.sparsity.method_options import Form
from lbc.sparsity.method_options.maxq import SHARE, Options
from lbc.sparsity.order_statistics import around_cut, smallest
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.straight_through import straight_through

ROUNDING = 1e-6
"""Added to the number of dense blocks before it is rounded down: the share is a float."""


class MaxqLayer(ClockedLayer):
    """W̃ = m ⊙ W; the number is the share p of dense blocks."""

    def forward(self, weight: Tensor) -> Tensor:
        self.see(weight)
        values = weight.detach()
        plain = is_plain(weight)
        mask = self._mask(values, self.in_graph if plain else self.scalar)
        if plain:
            self.mask, mask = mask, mask.view(torch.uint8)
        product = self._factor(values).mul_(values).mul_(mask)
        return straight_through(weight, product, mask, self._options.pull)

    @property
    def in_graph(self) -> int:
        """The number of dense blocks."""
        return self._dense_blocks(self.number)

    def chosen(self, number: float, /) -> tuple[LiveSets, Tensor]:
        """All combinations of a dense block are live, and of another the largest."""
        mask = self._mask(self.seen, self._dense_blocks(number))
        kept = self.pattern.to_blocks(mask)
        dense = kept.all(dim=1)
        first = torch.arange(self.pattern.m, device=kept.device) < self.pattern.n
        winners = self.pattern.index_of(torch.where(dense[:, None], first, kept)).int()
        count, device = self.pattern.count, mask.device
        bits = LiveSets(self.blocks, count, device, winners=winners).bits.clone()
        bits[dense] = LiveSets(1, count, device).bits
        return LiveSets(self.blocks, count, device, bits=bits), mask

    @torch.no_grad()
    def finished(self, weight: Tensor) -> Tensor:
        return self._factor(weight).mul_(weight).mul_(self.mask)

    def pictures(self) -> dict[str, LayerPicture]:
        return {"Soft mask (m / 3)": LayerPicture(self._factor(self.seen).mul_(self.mask) / 3)}

    @property
    def _options(self) -> Options:
        return cast("Options | None", self.options) or Options()

    def _dense_blocks(self, share: float) -> int:
        return int(share * self.blocks + ROUNDING)

    def _mask(self, weight: Tensor, count: int | Tensor) -> Tensor:
        """b, with so many dense blocks."""
        if isinstance(count, int) and not count:
            return largest(weight, self.pattern)
        first, *others = [plane.abs() for plane in positions(weight, self.pattern).unbind(-1)]
        sums = sum(others, first).contiguous()
        dense = smallest(sums.flatten(), count).view(sums.shape)
        return largest(weight, self.pattern, whole=dense)

    def _factor(self, weight: Tensor) -> Tensor:
        """1 + f + k, shaped like the weight."""
        options, sizes = self._options, weight.abs()
        factor = torch.ones_like(sizes)
        if options.filters:
            factor += self._scaled(sizes.flatten(1)).view(sizes.shape)
        if options.kernels and sizes[0, 0].numel() > 1:
            by_position = sizes.flatten(2).permute(2, 0, 1).contiguous()
            scaled = self._scaled(by_position.flatten(1)).view(by_position.shape)
            factor += scaled.permute(1, 2, 0).reshape(sizes.shape)
        return factor

    def _scaled(self, rows: Tensor) -> Tensor:
        """sigmoid((a − θ) / τ) of every row, 0 for the share of the smallest that N:M removes."""
        cut = rows.shape[1] * (self.pattern.m - self.pattern.n) // self.pattern.m
        low, high = around_cut(rows, cut)
        middle = torch.cat([low, high], dim=1).mean(dim=1, keepdim=True)
        above = (rows - middle).div_(self._options.tau)
        return F.threshold(above, 0, -torch.inf, inplace=True).sigmoid_()


class Maxq(Clock):
    """Sets the share of dense blocks before each step."""

    def numbers(self) -> dict[str, float]:
        options = cast(Options, self.run.options)
        return {SHARE: options.number(self.run.schedule, None, self.epoch)}


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer whose strong blocks are pruned first."""
    return MaxqLayer(name, weight, pattern)


conduct = Maxq
