"""Support for N:M patterns by 2:4 tensor cores."""

from __future__ import annotations

from collections.abc import Iterable
from math import comb

from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sliding_windows import window_block, window_bound

SLIDE_SPARSE = "SlideSparse (arXiv 2603.05232)"


def runs_as_two_four(pattern: Pattern) -> bool:
    """Return True if every mask of the pattern keeps at most two of each four weights."""
    return pattern.most_in(4) <= 2


def compliant_fraction(pattern: Pattern) -> float | None:
    """Return the fraction of the combinations that keep at most two in each group of four.

    The coefficient of xᴺ in (1 + 4x + 6x²)^(M/4), over C(M, N). With pairs a four holds two of
    which it may keep one, (1 + 2x)^(M/4); wider groups have no place in it. None if M is not a
    multiple of 4, or groups straddle fours.
    """
    if runs_as_two_four(pattern):
        return 1.0
    if pattern.m % 4 or (pattern.width > 2 and pattern.width % 4):
        return None
    choices = {1: (1, 4, 6), 2: (1, 2)}.get(pattern.width, (1,))
    ways = [1]
    for _ in range(pattern.m // 4):
        longer = [0] * (len(ways) + len(choices) - 1)
        for kept, count in enumerate(ways):
            for more, chosen in enumerate(choices):
                longer[kept + more] += count * chosen
        ways = longer
    n = pattern.units.n
    return (ways[n] if n < len(ways) else 0) / comb(pattern.units.m, n)


def describe_support(pattern: Pattern) -> str:
    """Describe in a few words how GPUs support the pattern; "" for 2:4 and 1:2.

    The bounds are derived in ``lbc.sparsity.sliding_windows``.
    """
    bound = pattern.m / pattern.n
    if runs_as_two_four(pattern):
        text = f"{pattern} runs as 2:4: the theoretical bound is 2×, not {bound:.3g}×."
        return text if bound > 2 else ""
    if pattern.width % 2 == 0 and pattern.most_in(8) <= 4:
        return (
            f"No kernel in torch for {pattern}: sparse tensor cores read pairs of weights as 4:8x2 "
            "in four-bit types only (PTX ISA, mma.sp); the theoretical bound is 2×."
        )
    windows, size = window_bound(pattern), window_block(pattern)
    most = f"{windows:.3g}×" + (f", not {bound:.3g}×" if bound > windows else "")
    return (
        f"No GPU support for {pattern}: {_why_not(pattern)}, and torch has no kernel for it. "
        f"{SLIDE_SPARSE} runs it exactly on 2:4 cores, as {size // 2 - 1} overlapping windows of "
        f"four for every {size} weights: the theoretical bound is {most}."
    )


def describe_all(patterns: Iterable[Pattern]) -> list[str]:
    """Describe each pattern once, without those of which nothing is to be said."""
    return list(filter(None, map(describe_support, dict.fromkeys(patterns))))


def _why_not(pattern: Pattern) -> str:
    fraction = compliant_fraction(pattern)
    if fraction is None:
        return "its blocks do not align with groups of four"
    if not fraction:
        return "none of its masks complies with 2:4"
    return f"only {fraction:.0%} of random blocks comply with 2:4"
