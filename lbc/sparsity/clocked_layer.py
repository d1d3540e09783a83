"""Layers whose forward pass depends on a number that a clock changes in every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, Self, cast

import torch
from torch import Tensor

from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.live_sets import LiveSets
from lbc.sparsity.magnitude_layer import MagnitudeLayer, choose_largest
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule


class ClockedLayer(MagnitudeLayer):
    """Dense at first, and under the mask of the largest magnitudes once ``number`` is 0.

    ``scalar`` is ``in_graph`` as a tensor, for compiled graphs, which would be compiled anew for
    every new value otherwise. It is no buffer, so that averages of a model do not average it. Every
    weight is trained to the end, and the mask follows the weights; with one combination left in
    every block the number stays 0.
    """

    DENSE: ClassVar[float] = 1.0

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        self.number = self.DENSE
        self.scalar = torch.tensor(self.in_graph, device=weight.device)

    # -- what a method defines -------------------------------------------------------------------

    def chosen(self, _number: float, /) -> tuple[LiveSets, Tensor]:
        """Live sets and mask under a number that is not 0; by default all."""
        complete = LiveSets(self.blocks, self.pattern.count, self.mask.device)
        return complete, torch.ones_like(self.mask)

    @property
    def in_graph(self) -> float:
        """What a compiled forward pass needs of the number, by default itself."""
        return self.number

    def number_of(self, live: int) -> float:
        """The number at which so many combinations are live; the present one if that is open."""
        return 0.0 if live == 1 else self.number

    # -- the clock -------------------------------------------------------------------------------

    def set_number(self, number: float) -> None:
        """Continue with another number."""
        self._set(0.0 if self.live_count == 1 else number)

    def _set(self, number: float) -> None:
        if number != self.number:
            self.number = number
            self.scalar.fill_(self.in_graph)
        for follower in self._followers:
            cast("ClockedLayer", follower)._set(number)

    @property
    def searching(self) -> bool:
        return True

    @torch.inference_mode(False)
    @torch.no_grad()
    def choose(
        self,
        live: int,
        /,
        _scored: Callable[[int], object] = lambda _: None,
        _weight: Tensor | None = None,
    ) -> tuple[LiveSets, Tensor]:
        return self._chosen(self.number_of(live))

    def apply_choice(self, live_sets: LiveSets, mask: Tensor, /) -> None:
        super().apply_choice(live_sets, mask)
        self._set(self.number_of(live_sets.most))

    @torch.inference_mode(False)
    @torch.no_grad()
    def sync_live_sets(self) -> None:
        self.apply_choice(*self._chosen(self.number))

    def _chosen(self, number: float) -> tuple[LiveSets, Tensor]:
        return self.chosen(number) if number else choose_largest(self.seen, self.pattern)

    # -- moving and storing ----------------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self.scalar = torch.tensor(self.in_graph, device=self.mask.device)
        return self

    def _save_to_state_dict(
        self, destination: dict[str, Any], prefix: str, keep_vars: bool
    ) -> None:
        self.sync_live_sets()
        super()._save_to_state_dict(destination, prefix, keep_vars)

    def get_extra_state(self) -> Tensor:
        return torch.tensor(self.number, dtype=torch.float64)

    def set_extra_state(self, state: Tensor) -> None:
        self._set(float(state))


class ClockedOptions(Protocol):
    """Options that say which number each layer has at an epoch."""

    def number(self, schedule: Schedule, pattern: Pattern, epoch: float, /) -> float:
        """The number of layers under a pattern."""


class Clock(Conductor):
    """Gives every layer its number before each step."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.layers = [at for at in run.layers.values() if isinstance(at, ClockedLayer)]
        self.epoch = 0.0

    def before_step(self, step: int) -> None:
        self.epoch = self.run.epoch(step)
        options = cast("ClockedOptions", self.run.options)
        for layer in self.layers:
            layer.set_number(options.number(self.run.schedule, layer.pattern, self.epoch))

    def decide(self) -> None:
        for layer in self.layers:
            layer.remove(1)
