"""An evolutionary search for the density of every layer, within bounds of the multiply-adds.

After ELSA (see ``methods.elsa``): a generation is half crossovers, whose genes come from either of
two good parents in proportion to their fitness, and half mutations, every second of which is the
one of ``AIMED`` whose multiply-adds have been looked at least. A candidate scores a point if no
other is both more accurate and cheaper, up to a point for its accuracy, and up to one for what it
saves; the weights of the three in the released code are not documented.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

TOP_SHARE = 0.2
"""Share of a generation's size that become parents of the next: 10 of 50 in the released code."""

MUTATED = 0.2
"""Probability that a mutation draws a layer's choice anew."""

AIMED = 4
"""Mutations from which the one is taken whose multiply-adds have been looked at least."""

BINS = 8
"""Parts of the range of multiply-adds whose candidates are counted for that."""

ATTEMPTS = 20
"""Draws in search of a candidate that is new, before a generation stays smaller."""

ROUNDING = 1e-9

Choice = tuple[int, ...]
"""The number of each layer's choice, from 1."""


@dataclass(frozen=True)
class Space:
    """Choices of every layer, and the bounds of their multiply-adds.

    ``costs`` are those of each choice of each layer, ascending, and ``fixed`` that of everything
    else, all as shares of the dense network's; ``least`` and ``most`` bound the sum.
    """

    costs: tuple[tuple[float, ...], ...]
    fixed: float
    least: float
    most: float

    def macs(self, choice: Sequence[int]) -> float:
        """The share of the dense network's multiply-adds that is left."""
        return self.fixed + sum(row[at - 1] for row, at in zip(self.costs, choice, strict=True))

    def within(self, choice: Sequence[int], random: Random) -> Choice:
        """The choice with layers made sparser, or denser, at random until it is within bounds.

        It stays below ``least`` where no layer can become denser without passing ``most``.
        """
        kept = list(choice)
        while self.macs(kept) > self.most + ROUNDING:
            kept[random.choice([at for at, number in enumerate(kept) if number > 1])] -= 1
        while self.macs(kept) < self.least - ROUNDING:
            left = self.most + ROUNDING - self.macs(kept)
            denser = [
                at
                for at, (row, number) in enumerate(zip(self.costs, kept, strict=True))
                if number < len(row) and row[number] - row[number - 1] <= left
            ]
            if not denser:
                break
            kept[random.choice(denser)] += 1
        return tuple(kept)


class LayerSearch:
    """Looks for the most accurate choice in a space.

    ``fitness`` weighs the choices of every layer, 0 for none; ``accuracy`` tests a choice of all.
    """

    def __init__(
        self,
        space: Space,
        fitness: Sequence[Sequence[float]],
        accuracy: Callable[[Choice], float],
        random: Random,
    ) -> None:
        self._space, self._accuracy, self._random = space, accuracy, random
        numbered = zip(fitness, space.costs, strict=True)
        self._fitness = [list(row[: len(costs)]) for row, costs in numbered]
        self.known: dict[Choice, float] = {}
        """The accuracy of every choice that has been tested."""

    def best(
        self, generations: int, population: int, progress: Callable[[float], object]
    ) -> Choice:
        """The most accurate, and among equals the cheapest, after so many generations."""
        for generation in range(generations + 1):
            candidates = self._generation(population)
            for tested, choice in enumerate(candidates, start=1):
                self.known[choice] = self._accuracy(choice)
                progress((generation + tested / len(candidates)) / (generations + 1))
        progress(1.0)
        return max(self.known, key=lambda one: (self.known[one], -self._space.macs(one)))

    def _generation(self, size: int) -> list[Choice]:
        """Candidates that have not been tested, fewer than ``size`` where there are no others."""
        parents = self._parents(max(2, round(TOP_SHARE * size)))
        found: dict[Choice, None] = {}
        for place in range(size):
            for attempt in range(ATTEMPTS):
                random = not parents or attempt > ATTEMPTS // 2
                child = self._drawn() if random else self._child(parents, place, size)
                if child not in self.known and child not in found:
                    found[child] = None
                    break
        return list(found)

    def _child(self, parents: dict[Choice, float], place: int, size: int) -> Choice:
        if place < size // 2:
            return self._crossover(parents)
        return self._aimed(parents) if place % 2 else self._mutation(parents)

    def _parents(self, count: int) -> dict[Choice, float]:
        """The candidates of the best scores, and those."""
        if not self.known:
            return {}
        macs = {one: self._space.macs(one) for one in self.known}
        lowest, highest = min(self.known.values()), max(self.known.values())
        cheapest = min(macs.values())
        scores: dict[Choice, float] = {}
        front = (-1.0, 0.0)  # accuracy and cost of the most accurate so far, by rising cost
        for one in sorted(self.known, key=lambda one: (macs[one], -self.known[one])):
            accuracy = self.known[one]
            unbeaten = accuracy > front[0] or (accuracy, macs[one]) == front
            front = (accuracy, macs[one]) if unbeaten else front
            gained = (accuracy - lowest) / (highest - lowest or 1)
            saved = (self._space.most - macs[one]) / (self._space.most - cheapest or 1)
            scores[one] = unbeaten + gained + saved
        ranked = sorted(scores, key=lambda one: scores[one], reverse=True)
        return {one: scores[one] + ROUNDING for one in ranked[:count]}

    def _drawn(self) -> Choice:
        return self._space.within([self._gene(row) for row in self._fitness], self._random)

    def _gene(self, row: Sequence[float]) -> int:
        return self._random.choices(range(1, len(row) + 1), row)[0]

    def _crossover(self, parents: dict[Choice, float]) -> Choice:
        pair = [self._parent(parents) for _ in range(2)]
        genes = []
        for row, *options in zip(self._fitness, *pair, strict=True):
            weights = [row[number - 1] + ROUNDING for number in options]
            genes.append(self._random.choices(options, weights)[0])
        return self._space.within(genes, self._random)

    def _mutation(self, parents: dict[Choice, float]) -> Choice:
        genes = [
            self._gene(row) if self._random.random() < MUTATED else number
            for row, number in zip(self._fitness, self._parent(parents), strict=True)
        ]
        return self._space.within(genes, self._random)

    def _aimed(self, parents: dict[Choice, float]) -> Choice:
        """Of some mutations, the one where the fewest candidates have been tested."""
        counts = [self._bin(one) for one in self.known]
        mutations = [self._mutation(parents) for _ in range(AIMED)]
        return min(mutations, key=lambda one: counts.count(self._bin(one)))

    def _bin(self, choice: Choice) -> int:
        cheapest = self._space.fixed + sum(row[0] for row in self._space.costs)
        lower = max(self._space.least, cheapest)
        width = (self._space.most - lower) / BINS or 1
        return min(BINS - 1, int(max(0.0, self._space.macs(choice) - lower) / width))

    def _parent(self, parents: dict[Choice, float]) -> Choice:
        return self._random.choices(list(parents), list(parents.values()))[0]
