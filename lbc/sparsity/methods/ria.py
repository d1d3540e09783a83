"""RIA: the N weights of every block with the largest relative importance, chosen once at t_f.

Zhang et al., ICLR 2024: see ``lbc.sparsity.calibration.ria``. Dense until t_f, and under a fixed
mask after, like ``asp``. With ``permute``, channels are reordered before (see ``channel_order``).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import cast

import torch
from torch import Tensor

from lbc.sparsity.calibration import ria
from lbc.sparsity.calibration.calibrated_layer import CalibratedLayer, Pruning
from lbc.sparsity.calibration.channel_order import reorder_channels
from lbc.sparsity.calibration.solution import part_of
from lbc.sparsity.conductor import Run
from lbc.sparsity.layer_picture import LayerPicture
from lbc.sparsity.method_options import Form
from lbc.sparsity.method_options.ria import Options
from lbc.sparsity.pattern import Pattern

ORDER, SHARES = "order of ", "shares of "
"""What precedes the name of a layer in the state of ``RiaPruning``."""


class RiaLayer(CalibratedLayer):
    """A layer whose input channels may have been reordered.

    ``order`` (channels,) are the numbers that they had before, None if they have them still.
    ``shares`` (2, blocks of channels) are those of the scores that the blocks keep: of the channels
    in their former order, and now.
    """

    order: Tensor | None = None
    shares: Tensor

    def pictures(self) -> dict[str, LayerPicture]:
        """Which channels share a block, and what the blocks keep and would have kept."""
        if self.order is None:
            return {}
        along = (1, self.shape[1], *(1 for _ in self.shape[2:]))
        caption = (
            "The number that every input channel had before reordering; those of a block are side "
            "by side."
        )
        channels = LayerPicture(self.order.view(along), 0, self.shape[1] - 1, caption)
        low, high = self.shares.min().item(), self.shares.max().item()
        before, now = (
            LayerPicture(
                shares.repeat_interleave(self.pattern.m).view(along),
                low,
                high,
                f"Share of the scores of a block's input channels that {what}, "
                f"{float(shares.mean()):.2%} on average.",
            )
            for shares, what in zip(
                self.shares, ("would be kept in their former order", "is kept"), strict=True
            )
        )
        return {"former channel": channels, "score kept": now, "score kept before": before}


class RiaPruning(Pruning):
    """``reordered`` counts the layers whose input channels were put into another order."""

    def __init__(self, run: Run, /) -> None:
        assert isinstance(run.options, Options)
        super().__init__(run, partial(ria.solve, power=run.options.power))
        self.options = run.options
        self.layers = cast("Mapping[str, RiaLayer]", run.layers)
        self.reordered = 0

    def decide(self) -> None:
        if self.options.permute:
            batches = [*self.run.batches(self.options.images)]
            scores = partial(ria.scores, power=self.options.power)
            first, second = (part_of(self.run.progress, number, 2) for number in range(2))
            orders = reorder_channels(self.run.model, batches, scores, self.run.optimizer, first)
            self.reordered = len(orders)
            for name, found in orders.items():
                self.layers[name].order, self.layers[name].shares = found.order, found.shares
            self._prune(second)
        else:
            super().decide()

    def state(self) -> dict[str, Tensor]:
        state = {**super().state(), "reordered": torch.tensor(self.reordered)}
        for name, layer in self.layers.items():
            if layer.order is not None:
                state |= {ORDER + name: layer.order, SHARES + name: layer.shares}
        return state

    def load(self, state: Mapping[str, Tensor]) -> None:
        super().load(state)
        self.reordered = int(state["reordered"])
        for name, layer in self.layers.items():
            if ORDER + name in state:
                layer.order, layer.shares = state[ORDER + name], state[SHARES + name]

    def numbers(self) -> dict[str, float]:
        numbers = super().numbers()
        if numbers and self.options.permute:
            numbers["reordered layers"] = self.reordered
        return numbers


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> RiaLayer:
    """A layer that is pruned once by its inputs."""
    return RiaLayer(name, weight, pattern)


conduct = RiaPruning
