"""Which N:M patterns the 2:4 tensor cores can run."""

from __future__ import annotations

from math import comb

from lbc.sparsity.pattern import Pattern


def runs_as_two_four(pattern: Pattern) -> bool:
    """Whether every mask of the pattern keeps at most two of each four neighbours."""
    return (pattern.n, pattern.m) == (1, 2) or (pattern.n <= 2 and pattern.m % 4 == 0)


def compliant_share(pattern: Pattern) -> float | None:
    """Share of a pattern's C(M, N) combinations whose groups of four all keep at most two.

    The coefficient of xᴺ in (1 + 4x + 6x²)^(M/4), over C(M, N); None where four does not divide M.
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


def hardware_path(pattern: Pattern) -> str:
    """What a GPU can make of the pattern, in a sentence; empty for 2:4 and 1:2."""
    if runs_as_two_four(pattern):
        bound = pattern.m / pattern.n
        more = f"{pattern} runs as 2:4: 2× is the bound in theory, not {bound:.3g}×."
        return more if bound > 2 else ""
    share = compliant_share(pattern)
    comply = f"{share:.0%} of random blocks comply with 2:4" if share is not None else "its blocks"
    straddle = "" if share is not None else " straddle the groups of four"
    return (
        f"No hardware path for {pattern}: {comply}{straddle}, and nothing maintained runs the "
        f"others; {pattern.m / pattern.n:.3g}× would be the bound in theory."
    )
