"""An N:M for every layer of a model, so that the whole costs a share of the dense one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from lbc.models.layer_cost import LayerRow, LayerTable
from lbc.sparsity.allocation import Budget, allocate
from lbc.sparsity.layer_plan import LayerPlan
from lbc.sparsity.pattern import Pattern

UNITS = {"macs": "multiply-adds", "weights": "weights"}
"""What a budget can be of: the multiply-adds of one image, and the weights of all layers."""


@dataclass(frozen=True)
class Allocation:
    """The layers' N:M, None for dense; the costs of sparse and of dense layers; what is reached.

    ``reached`` is, by unit, the share of the dense network's cost.
    """

    patterns: Mapping[str, Pattern | None]
    reached: Mapping[str, float]


def allocate_layers(
    table: LayerTable, pattern: Pattern, shares: Mapping[str, float], rule: str
) -> Allocation:
    """Choose N for every sparse layer of ``table`` that has no N:M of its own, at most M of M.

    ``pattern`` gives M, ``shares`` the budgets by ``UNITS``, and ``rule`` is one of
    ``allocation.RULES``. Multiply-adds are all those of the model, between activations too. Raises
    ValueError as ``allocate``.
    """
    free = [row for row in table.rows if row.plan.pattern and not row.plan.overridden]
    budgets = {unit: _budget(table, free, unit, shares.get(unit, 1.0)) for unit in UNITS}
    shapes, asked = [row.plan.shape for row in free], [budgets[unit] for unit in shares]
    m = pattern.units.m  # N is chosen in whole groups
    kept = allocate(rule, shapes, m, asked)
    patterns = {
        row.plan.name: replace(pattern, n=n * pattern.width) if n < m else None
        for row, n in zip(free, kept, strict=True)
    }
    reached = {unit: budget.reached(kept, m) for unit, budget in budgets.items()}
    return Allocation(patterns, reached)


def allocation_of(table: LayerTable, chosen: Mapping[str, Pattern | None]) -> Allocation:
    """What is left of the network of ``table`` if each layer has the N:M ``chosen`` for it, None
    for dense."""
    rows = [
        replace(row, plan=replace(row.plan, pattern=chosen.get(row.plan.name, row.plan.pattern)))
        for row in table.rows
    ]
    table = replace(table, rows=tuple(rows))
    reached = {unit: _budget(table, (), unit, 1.0).reached((), 1) for unit in UNITS}
    return Allocation(chosen, reached)


def dense_cost(row: LayerRow, unit: str) -> int:
    """What a layer costs when it is dense."""
    return row.cost.macs if unit == "macs" else row.plan.weights


def _budget(table: LayerTable, free: Sequence[LayerRow], unit: str, share: float) -> Budget:
    costs = tuple(dense_cost(row, unit) for row in free)
    every = [dense_cost(row, unit) for row in table.rows]
    total = table.macs if unit == "macs" else sum(every)
    saved = sum(
        (dense_cost(row, unit) * (1 - _density(row.plan)) for row in table.rows if row not in free),
        Fraction(0),
    )
    return Budget(UNITS[unit], share, total, total - sum(costs) - saved, costs)


def _density(plan: LayerPlan) -> Fraction:
    return Fraction(plan.pattern.n, plan.pattern.m) if plan.pattern else Fraction(1)
