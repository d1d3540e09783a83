"""What scores cost in memory, and the limit above which ``sparsify`` refuses."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from lbc.sparsity.layer_plan import LayerPlan
from lbc.sparsity.method_options import Form
from lbc.sparsity.pattern import LARGEST_COUNT, Pattern

SCORE_MEMORY_LIMIT = 4 << 30
"""Bytes that scores of combinations may take before ``sparsify`` refuses."""

ADAM_COPIES = 4
"""Scores, gradient and two moments: what an optimiser of unknown kind may need."""


def score_memory(shape: tuple[int, ...], pattern: Pattern, form: Form, copies: int) -> int:
    """Bytes that scores, gradients and optimiser state of one layer take in float32.

    ``copies`` counts the float tensors as large as the scores: the scores, their gradient and the
    optimiser's moments (3 for SGD with momentum, 4 for Adam). Live bits and the byte mask are in.
    """
    weights = prod(shape)
    cells = weights if form == "per_weight" else weights // pattern.m * pattern.count
    return 4 * cells * copies + live_memory(shape, pattern) + weights


def live_memory(shape: tuple[int, ...], pattern: Pattern) -> int:
    """Bytes of one layer's live bits, once something has been removed."""
    return prod(shape) // pattern.m * -(-pattern.count // 8)


def plan_memory(plans: Sequence[LayerPlan], form: Form, copies: int = ADAM_COPIES) -> int:
    """Bytes that the scores of all planned layers take; ``copies`` as in ``score_memory``."""
    return sum(score_memory(p.shape, p.pattern, form, copies) for p in plans if p.pattern)


def check_memory(
    plans: Sequence[LayerPlan], form: Form, limit: int, copies: int = ADAM_COPIES
) -> None:
    """Raise ValueError where combinations are too many to enumerate or to keep in ``limit`` bytes.

    Per-combination scores count in full; of the per-weight form only the live bits do, the part
    that the choice of N:M decides.
    """
    for plan in plans:
        if plan.pattern and plan.pattern.count > LARGEST_COUNT:
            raise ValueError(
                f"{plan.pattern} has more combinations in every block of layer {plan.name!r} than "
                f"the {LARGEST_COUNT:,} that can be enumerated: choose a smaller M."
            )
    bits = sum(live_memory(plan.shape, plan.pattern) for plan in plans if plan.pattern)
    if form == "per_weight" and bits > limit:
        raise ValueError(
            f"The live combinations would take {_gib(bits)}, above the limit of {_gib(limit)}: "
            "choose an N:M with fewer combinations, or raise the limit."
        )
    needed = plan_memory(plans, form, copies)
    if form == "per_combination" and needed > limit:
        raise ValueError(
            f"Per-combination scores would take {_gib(needed)}, above the limit of {_gib(limit)}: "
            "train with SGD and scores='per_weight' (exact, "
            f"{_gib(plan_memory(plans, 'per_weight', copies))}), choose an N:M with fewer "
            "combinations, or raise the limit."
        )


def _gib(count: int) -> str:
    return f"{count / 2**30:,.2f} GiB"
