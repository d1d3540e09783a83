"""SdGf: the pattern narrows in frames of equal length (structure decay).

Bambhaniya et al., "Progressive Gradient Flow for Robust N:M Sparsity Training in Transformers",
CPAL 2025, arXiv 2402.04744. In every frame W̃ = b ⊙ W with b = top-N' |w| of every block of M',
anew in every step; dense for the first epochs, N:M in the last frame and from t_f on.

``stepwise``: (M − 1):M, M/2:M, M/4:M, …, N:M, halves rounded down. The released code reaches N:M
only where M / N is a power of two; here the last frame always is N:M. The live set of a block are
the C(N', N) combinations within its N' weights. ``geometric``: 8N:8M, 4N:4M, 2N:2M, N:M; a weight
whose input width is no multiple of 8M has the widest of these blocks that fit until it is due to
have narrower ones. A block of M may then keep more than N or fewer, so all its combinations count
as live, and the mask shows what is kept.

The gradient is that of the product, b ⊙ ∂L/∂W̃; the released code passes ∂L/∂W̃ unchanged to all
weights: ``gradient: released``.
"""

from __future__ import annotations

from math import comb
from typing import cast

import torch
from torch import Tensor

from lbc.sparsity.clocked_layer import Clock, ClockedLayer
from lbc.sparsity.largest import largest
from lbc.sparsity.live_sets import LiveSets, is_plain, pack
from lbc.sparsity.method_options import Form
from lbc.sparsity.method_options.sdgf import Options
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import CHUNK_CELLS, SparseLayer, incidence
from lbc.sparsity.straight_through import straight_through


class SdgfLayer(ClockedLayer):
    """W̃ = b ⊙ W; the number is the share of the frames that are still to come."""

    def forward(self, weight: Tensor) -> Tensor:
        self.see(weight)
        frame = self._frame(self.number)
        if frame is None:
            return weight
        mask = largest(weight.detach(), frame)
        if is_plain(weight):
            self.mask, mask = mask, mask.view(torch.uint8)
        if self._options.gradient == "released":
            return straight_through(weight, weight.detach() * mask)
        return weight * mask

    def chosen(self, number: float, /) -> tuple[LiveSets, Tensor]:
        frame = self._frame(number)
        if frame is None:
            return super().chosen(number)
        mask = largest(self.seen, frame)
        if frame.m == self.pattern.m:
            return self._within(mask), mask
        return LiveSets(self.blocks, self.pattern.count, mask.device), mask

    def number_of(self, live: int) -> float:
        patterns = self._options.frame_patterns(self.pattern, self.shape[1])
        for left, frame in enumerate(reversed(patterns)):
            if frame.m == self.pattern.m and comb(frame.n, self.pattern.n) == live:
                return left / len(patterns)
        return self.number

    @property
    def _options(self) -> Options:
        return cast("Options | None", self.options) or Options()

    def _frame(self, number: float) -> Pattern | None:
        return self._options.frame_of(self.pattern, number, self.shape[1])

    def _within(self, mask: Tensor) -> LiveSets:
        """The combinations within the mask of every block."""
        left_out = (~self.pattern.to_blocks(mask)).float()
        holding = incidence(self.pattern, mask.device, torch.float32).T
        parts = torch.split(left_out, max(1, CHUNK_CELLS // self.pattern.count))
        bits = torch.cat([pack(part @ holding == 0) for part in parts])
        return LiveSets(self.blocks, self.pattern.count, mask.device, bits=bits)


class Sdgf(Clock):
    """Sets the frame before each step."""

    def numbers(self) -> dict[str, float]:
        options = cast(Options, self.run.options)
        frames = (options.frame(self.run.schedule, at.pattern, self.epoch) for at in self.layers)
        densities = [1.0 if frame is None else frame.density for frame in frames]
        return {"Share of weights kept": sum(densities) / len(densities)} if densities else {}


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer whose pattern narrows."""
    return SdgfLayer(name, weight, pattern)


conduct = Sdgf
