"""RIA: the N weights of every block with the largest relative importance, chosen once at t_f.

Zhang et al., ICLR 2024: see ``lbc.sparsity.calibration.ria``. Dense until t_f, and under a fixed
mask after, like ``asp``. With ``permute``, channels are reordered before (see ``channel_order``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor

from lbc.sparsity.calibration import ria
from lbc.sparsity.calibration.calibrated_layer import Pruning, attach
from lbc.sparsity.calibration.channel_order import reorder_channels
from lbc.sparsity.conductor import Run
from lbc.sparsity.method_options.ria import Options

__all__ = ["attach", "conduct"]


class RiaPruning(Pruning):
    """``reordered`` counts the layers whose input channels were put into another order."""

    def __init__(self, run: Run, /) -> None:
        assert isinstance(run.options, Options)
        super().__init__(run, partial(ria.solve, power=run.options.power))
        self.options = run.options
        self.reordered = 0

    def decide(self) -> None:
        if self.options.permute:
            batches = [*self.run.batches(self.options.images)]
            scores = partial(ria.scores, power=self.options.power)
            orders = reorder_channels(self.run.model, batches, scores, self.run.optimizer)
            self.reordered = len(orders)
        super().decide()

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), "reordered": torch.tensor(self.reordered)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        super().load(state)
        self.reordered = int(state["reordered"])

    def numbers(self) -> dict[str, float]:
        numbers = super().numbers()
        if numbers and self.options.permute:
            numbers["reordered layers"] = self.reordered
        return numbers


conduct = RiaPruning
