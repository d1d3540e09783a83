"""Budgets: how many weights of every M each layer keeps, so that a network costs a given share.

A rule takes the shapes (O, I, *kernel) of the layers, M, and the budgets, within which 1:M in every
layer is. It returns N of every layer, from 1 to M; a layer of N = M stays dense.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import prod

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Budget:
    """At most ``share`` of what a dense network costs, such as its multiply-adds or weights.

    ``total`` is the cost of the dense network, ``fixed`` the cost of everything for which no N is
    chosen, and ``costs`` those of the layers for which one is, when they are dense. A layer of N:M
    costs N/M of that.
    """

    unit: str
    share: float
    total: int
    fixed: Fraction
    costs: tuple[int, ...]

    def reached(self, kept: Sequence[int], m: int) -> float:
        """The share that the network costs with N of every layer in ``kept``."""
        return float((self.fixed + Fraction(self._spent(kept), m)) / self.total)

    def holds(self, kept: Sequence[int], m: int) -> bool:
        """Whether N of every layer in ``kept`` is within the budget."""
        return self._spent(kept) <= self.allowance(m)

    def allowance(self, m: int) -> Fraction:
        """The most that Σ cost·N over the layers may be."""
        # 0.3 means 3/10, within which 3:10 is, and not the binary number just below it.
        return (Fraction(str(self.share)) * self.total - self.fixed) * m

    def _spent(self, kept: Sequence[int]) -> int:
        return sum(cost * n for cost, n in zip(self.costs, kept, strict=True))


Rule = Callable[[Sequence[Shape], int, Sequence[Budget]], tuple[int, ...]]


def allocate(
    rule: str, shapes: Sequence[Shape], m: int, budgets: Sequence[Budget]
) -> tuple[int, ...]:
    """N of every layer by a rule of ``RULES``, within all ``budgets``.

    Raises ValueError, a sentence, if there is no layer, or no choice is within a budget.
    """
    if not shapes:
        raise ValueError("No layer is left whose density could be chosen.")
    for budget in budgets:
        if not 0 < budget.share < 1:
            raise ValueError(
                f"A budget of {budget.share:g} of the {budget.unit} is impossible: choose a share "
                "above 0 and below 1, the dense network."
            )
        if not budget.holds([1] * len(shapes), m):
            raise ValueError(
                f"A budget of {budget.share:.2%} of the {budget.unit} is impossible: 1:{m} in "
                f"every layer that can be sparse still needs "
                f"{budget.reached([1] * len(shapes), m):.2%}. Choose a larger budget or M."
            )
    return RULES[rule](shapes, m, budgets)


def uniform(shapes: Sequence[Shape], m: int, budgets: Sequence[Budget]) -> tuple[int, ...]:
    """The largest N, the same in every layer."""
    choices = ((n,) * len(shapes) for n in range(m, 0, -1))
    return next(kept for kept in choices if all(budget.holds(kept, m) for budget in budgets))


def erk(shapes: Sequence[Shape], m: int, budgets: Sequence[Budget]) -> tuple[int, ...]:
    """Densities proportional to ``erk_density``, rounded to N/M, 1 at most.

    The factor is as large as the budgets allow (Evci et al., Rigging the Lottery, ICML 2020). What
    a layer leaves of a budget because its next weight does not fit is given to layers of larger
    ``erk_density``, and to others up to the N of that layer, so that the order is kept.
    """
    ratios = [erk_density(shape) for shape in shapes]
    left = [budget.allowance(m) - sum(budget.costs) for budget in budgets]
    kept, highest = [1] * len(shapes), [m] * len(shapes)
    # By growing factor: where the factor gives a layer N − 1/2 weights, it is rounded up to N.
    steps = sorted(
        ((n - 0.5) / ratio, layer, n) for layer, ratio in enumerate(ratios) for n in range(2, m + 1)
    )
    for _, layer, n in steps:
        if n > highest[layer]:
            continue
        costs = [budget.costs[layer] for budget in budgets]
        if all(cost <= rest for cost, rest in zip(costs, left, strict=True)):
            left = [rest - cost for cost, rest in zip(costs, left, strict=True)]
            kept[layer] = n
            continue
        for other, ratio in enumerate(ratios):
            if other == layer or ratio < ratios[layer]:
                highest[other] = min(highest[other], n - 1)
    return tuple(kept)


def erk_density(shape: Shape) -> float:
    """(O + I + Σ kernel) / (O·I·Π kernel), to which ERK makes the density of a layer proportional.

    Erdős–Rényi-Kernel, Evci et al., Rigging the Lottery, ICML 2020, section 3.
    """
    return sum(shape) / prod(shape)


RULES: dict[str, Rule] = {"uniform": uniform, "erk": erk}
