"""Support for N:M patterns by 2:4 tensor cores."""

from __future__ import annotations

from math import comb

from lbc.sparsity.pattern import Pattern


def runs_as_two_four(pattern: Pattern) -> bool:
    """Return True if every mask of the pattern keeps at most two of each four weights."""
    return (pattern.n, pattern.m) == (1, 2) or (pattern.n <= 2 and pattern.m % 4 == 0)


def compliant_fraction(pattern: Pattern) -> float | None:
    """Return the fraction of the C(M, N) combinations that keep at most two in each group of four.

    The coefficient of xᴺ in (1 + 4x + 6x²)^(M/4), over C(M, N); None if M is not a multiple of 4.
    """
    if pattern.m % 4:
        return 1.0 if runs_as_two_four(pattern) else None
    ways = [1]
    for _ in range(pattern.m // 4):
        longer = [0] * (len(ways) + 2)
        for kept, count in enumerate(ways):
            for more in range(3):
                longer[kept + more] += count * comb(4, more)
        ways = longer
    return (ways[pattern.n] if pattern.n < len(ways) else 0) / comb(pattern.m, pattern.n)


def describe_support(pattern: Pattern) -> str:
    """Describe in one sentence how GPUs support the pattern; "" for 2:4 and 1:2."""
    if runs_as_two_four(pattern):
        bound = pattern.m / pattern.n
        text = f"{pattern} runs as 2:4: the theoretical bound is 2×, not {bound:.3g}×."
        return text if bound > 2 else ""
    fraction = compliant_fraction(pattern)
    reason = "its blocks do not align with groups of four"
    if fraction is not None:
        reason = f"only {fraction:.0%} of random blocks comply with 2:4"
    return (
        f"No GPU support for {pattern}: {reason}, and there is no maintained kernel for the "
        f"others; the theoretical bound would be {pattern.m / pattern.n:.3g}×."
    )
