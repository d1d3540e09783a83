"""ELSA: one network trained under changing densities of its layers, then a search for the best.

Huang et al., "ELSA: Exploiting Layer-wise N:M Sparsity for Vision Transformer Acceleration", CVPR
Workshops 2024. A layer of N:M has the choices 1:M, 2:M … N:M (multiples of the width, with groups),
and with ``dense`` M:M, all weights. In every step each layer l takes one, N_l:M, and computes with
W̃ = b ⊙ W, b = top-N_l |w| of the present weights; g = b ⊙ ∂L/∂W̃. Choices are drawn with
probabilities ∝ fitness(l, N_l) · (M / N_l)^ε, where ε rises from −1 to 1 until t_f: dense choices
are likelier at first, sparse ones in the end. Every ``evaluate_every`` epochs ``subnets`` drawn
networks are tested on held-out training images; the fitness of a choice, 1000 · N_l / M before, is
the mean accuracy in per cent of the networks that had it. A choice seen five times whose fitness is
more than ``tolerance`` below the mean accuracy is drawn no more.

At t_f an evolutionary search (see ``layer_search``) compares choices of all layers within bounds of
the multiply-adds on the same images. The most accurate becomes the mask, which is fixed from then
on: with t_f before the last epoch the network is fine-tuned, which the released code leaves out.
After each epoch until t_f, the network that is tested has N:M in every layer. A layer of fewer
than N of every M obeys N:M too, and its live combination is the one of N that holds them; that of a
layer that stays dense is of its largest weights.

Different from the released code: networks are compared on held-out training images, not on the
test images on which accuracy is reported; layers can stay dense only if ``dense`` asks for it, as
the network would not obey N:M; bounds count all multiply-adds of the network; the weights of the
search's score, which are not published, are our own; there is no greedy policy and no proxy set.
Fine-tuning also settles BatchNorm, whose running statistics are those of all drawn networks until
t_f, and of no single one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import cast

import torch
from torch import Tensor

from lbc.sparsity.conductor import Conductor, Run, replacement
from lbc.sparsity.largest import largest
from lbc.sparsity.layer_search import ROUNDING, LayerSearch, Space
from lbc.sparsity.live_sets import LiveSets
from lbc.sparsity.magnitude_layer import MagnitudeLayer, choose_largest
from lbc.sparsity.method_options import Form
from lbc.sparsity.method_options.elsa import Options
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer

FEWEST_SEEN = 5
"""Evaluations of a choice before it can be dropped."""

UNSEEN = 1000.0
"""The fitness of a dense choice that has not been evaluated."""


class ElsaLayer(MagnitudeLayer):
    """Keeps the largest ``kept`` of every block, at most N, or all M; the mask changes until
    decided."""

    chooses_density = True

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        self.keep(pattern.n)

    @torch.no_grad()
    def keep(self, kept: int) -> None:
        """Take the mask of the ``kept`` largest of the present weights in every block."""
        self.kept = kept
        self.apply_choice(self.live_sets, self._largest(kept))

    def forward(self, weight: Tensor) -> Tensor:
        self.see(weight)
        if self.searching:
            return weight * self.mask.view(torch.uint8)  # torch multiplies bools more slowly
        return self.under_fixed_mask(weight)

    @torch.inference_mode(False)
    @torch.no_grad()
    def choose(
        self,
        live: int,
        /,
        scored: Callable[[int], object] = lambda _: None,
        weight: Tensor | None = None,
    ) -> tuple[LiveSets, Tensor]:
        if live > 1 or not self.searching:
            return super().choose(live, scored, weight)
        live_sets, _ = choose_largest(self.seen, self.pattern)
        scored(self.blocks * self.pattern.count)
        return live_sets, self._largest(self.kept)

    def _largest(self, kept: int) -> Tensor:
        if kept == self.pattern.m:
            return torch.ones_like(self.mask)
        return largest(self.seen, replace(self.pattern, n=kept))


class Elsa(Conductor):
    """Draws the layers' choices, keeps account of their accuracies, and searches at t_f."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.options = cast("Options", run.options)
        self.layers = [cast("ElsaLayer", layer) for layer in run.layers.values()]
        patterns = [layer.pattern for layer in self.layers]
        self.space = _space(run, patterns, self.options)
        densities = [_densities(pattern, self.options.dense) for pattern in patterns]
        self.densities = torch.nn.utils.rnn.pad_sequence(densities, batch_first=True)
        """Of every choice: (layers, choices), padded with 0."""
        self.total = torch.zeros_like(self.densities)
        """The sum of the accuracies, 0 to 1, of evaluated networks with a choice."""
        self.seen = torch.zeros_like(self.densities)
        """How many those are."""
        self.last = 0.0
        self.epoch = 0.0

    # -- moments --------------------------------------------------------------------------------

    def before_step(self, step: int) -> None:
        self.epoch = self.run.epoch(step)
        if self._undecided:
            self._keep(self._draw(self.run.generator(step)))

    def after_update(self, step: int) -> None:
        if not self._undecided:
            return
        every = max(1, round(self.options.evaluate_every * self.run.steps_per_epoch))
        if step % every == 0:
            self._evaluate(step)
        if step % self.run.steps_per_epoch == 0:
            self._keep([layer.pattern.units.n for layer in self.layers])

    def decide(self) -> None:
        random = Random(self.run.generator(0).initial_seed())  # 0 is the number of no step
        fitness = self._fitness().tolist()
        search = LayerSearch(self.space, fitness, self._accuracy, random)
        found = search.best(self.options.generations, self.options.population, self.run.progress)
        self._keep(found)
        for layer in self.layers:
            layer.remove(1)
        self.last = search.known[found]

    def state(self) -> dict[str, Tensor]:
        last = torch.tensor([self.last, self.epoch], dtype=torch.float64)
        return {"total": self.total, "seen": self.seen, "last": last}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self.total = replacement(self.total, state["total"])
        self.seen = replacement(self.seen, state["seen"])
        self.last, self.epoch = state["last"].tolist()

    def numbers(self) -> dict[str, float]:
        numbers = {"held-out accuracy": self.last}
        if self._undecided:
            weights = torch.tensor([layer.mask.numel() for layer in self.layers])
            used = (self.probabilities() * self.densities).sum(dim=1) @ weights.double()
            numbers["mean density drawn"] = float(used / weights.sum())
        else:
            kept = [
                min(round(layer.density * layer.pattern.units.m), len(costs))
                for layer, costs in zip(self.layers, self.space.costs, strict=True)
            ]
            numbers["multiply-adds"] = self.space.macs(kept)
        return numbers

    # -- choices --------------------------------------------------------------------------------

    @property
    def _undecided(self) -> bool:
        return any(layer.searching for layer in self.layers)

    def probabilities(self) -> Tensor:
        """Of every choice now: float64 (layers, choices)."""
        lean = self.options.lean(self.run.schedule, self.epoch)
        weight = self._fitness() * self.densities.clamp_min(1e-9) ** -lean
        return weight / weight.sum(dim=1, keepdim=True)

    def _fitness(self) -> Tensor:
        """Fitness in per cent, 0 of choices that are dropped: float64 (layers, choices)."""
        mean = 100 * self.total / self.seen.clamp_min(1)
        fitness = torch.where(self.seen > 0, mean.clamp_min(1e-3), UNSEEN * self.densities)
        overall = 100 * float(self.total[0].sum() / self.seen[0].sum().clamp_min(1))
        kept = (self.seen < FEWEST_SEEN) | (fitness >= overall - self.options.tolerance)
        kept |= fitness == fitness.amax(dim=1, keepdim=True)
        return fitness * kept

    def _draw(self, generator: torch.Generator) -> list[int]:
        """The number of every layer's choice, from 1."""
        reached = self.probabilities().cumsum(dim=1)
        point = 1 - torch.rand((len(reached), 1), generator=generator, dtype=torch.float64)
        return ((reached < point * reached[:, -1:]).sum(dim=1) + 1).tolist()

    def _keep(self, choice: Sequence[int]) -> None:
        for layer, number in zip(self.layers, choice, strict=True):
            pattern = layer.pattern
            layer.keep(pattern.m if number > pattern.units.n else number * pattern.width)

    def _accuracy(self, choice: Sequence[int]) -> float:
        self._keep(choice)
        return self.run.evaluate()

    def _evaluate(self, step: int) -> None:
        """Test networks as they are drawn now, and take note of their accuracies."""
        rows, accuracies = torch.arange(len(self.layers)), []
        for number in range(1, self.options.subnets + 1):
            choice = self._draw(self.run.generator(step, number))
            accuracies.append((choice, self._accuracy(choice)))
        for choice, accuracy in accuracies:
            columns = torch.tensor(choice) - 1
            self.total[rows, columns] += accuracy
            self.seen[rows, columns] += 1
        self.last = sum(accuracy for _, accuracy in accuracies) / len(accuracies)


def _densities(pattern: Pattern, dense: bool) -> Tensor:
    """Those of a layer's choices, ascending."""
    units = pattern.units
    kept = [*range(1, units.n + 1), *([units.m] if dense else [])]
    return torch.tensor(kept, dtype=torch.float64) / units.m


def _space(run: Run, patterns: Sequence[Pattern], options: Options) -> Space:
    """The choices and their costs. Raises ValueError if none is within the bounds."""
    total = sum(weight.numel() for weight in run.weights.values())
    shares = [run.shares.get(name, weight.numel() / total) for name, weight in run.weights.items()]
    costs = tuple(
        tuple(share * density for density in _densities(pattern, options.dense).tolist())
        for share, pattern in zip(shares, patterns, strict=True)
    )
    fixed = 1 - sum(shares)
    fewest, loosest = (fixed + sum(row[at] for row in costs) for at in (0, -1))
    most = min(loosest, options.macs or (fewest + loosest) / 2)
    if most < fewest - ROUNDING:
        raise ValueError(
            f"method.macs is {most:g}, but under the sparsest choices the network still has "
            f"{fewest:.2%} of its multiply-adds: raise method.macs, or choose a larger M."
        )
    if options.least_macs > most + ROUNDING:
        raise ValueError(
            f"method.least_macs is {options.least_macs:g}, but the search looks at most at "
            f"{most:.2%} of the network's multiply-adds, which method.macs or the loosest choices "
            "leave: lower method.least_macs."
        )
    return Space(costs, fixed, options.least_macs, most)


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer that can keep fewer than N of every M."""
    return ElsaLayer(name, weight, pattern)


conduct = Elsa
