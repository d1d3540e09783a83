"""Random: a combination drawn once for every block, what any method should surpass.

Each of a block's C(M, N) combinations is equally likely. The draw depends on the run's seed and the
layer alone; without ``Sparsifier.conduct`` it is one of torch's generator. W̃ = b ⊙ W from the
first step, and the gradient is masked too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor

from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.live_sets import keep_best
from lbc.sparsity.magnitude_layer import MagnitudeLayer
from lbc.sparsity.method_options import Form
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer, incidence


class RandomLayer(MagnitudeLayer):
    """W̃ = b ⊙ W with b drawn."""

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        self.draw()

    def draw(self, generator: torch.Generator | None = None) -> None:
        """Draw a combination for every block, from torch's generator if none is given."""
        drawn = torch.rand((self.blocks, self.pattern.m), generator=generator, device="cpu")
        self.keep(self.pattern.index_of(keep_best(drawn, self.pattern.n)).int())

    def keep(self, winners: Tensor) -> None:
        """Keep the given combination of every block: int32 (blocks,)."""
        winners = winners.to(self.mask.device)
        kept = incidence(self.pattern, winners.device, torch.bool)[winners.long()]
        self.apply_choice(self._live_sets(winners=winners), self._mask_of(kept))

    def winners_of_mask(self) -> Tensor:
        """The combination of every block: int32 (blocks,)."""
        return self.pattern.index_of(self.pattern.to_blocks(self.mask)).int()

    def forward(self, weight: Tensor) -> Tensor:
        self.see(weight)
        return self.under_fixed_mask(weight)


class Random(Conductor):
    """Draws the combinations by the run's seed."""

    def __init__(self, run: Run) -> None:
        self._layers = {name: cast(RandomLayer, layer) for name, layer in run.layers.items()}
        for number, layer in enumerate(self._layers.values()):
            layer.draw(run.generator(0, number))

    def state(self) -> dict[str, Tensor]:
        return {name: layer.winners_of_mask() for name, layer in self._layers.items()}

    def load(self, state: Mapping[str, Tensor]) -> None:
        for name, layer in self._layers.items():
            layer.keep(state[name])


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer with a random mask."""
    return RandomLayer(name, weight, pattern)


conduct = Random
