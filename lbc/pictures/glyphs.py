"""A combination as squares, as the window writes it everywhere."""

from __future__ import annotations

from functools import lru_cache

from lbc.sparsity.pattern import Pattern


def glyphs(members: tuple[int, ...], size: int) -> str:
    """A combination as filled and empty squares: ■■□□."""
    return "".join("■" if j in members else "□" for j in range(size))


def squares(pattern: Pattern, combination: int) -> str:
    """A combination of a pattern by its number, as squares."""
    return glyphs(members_of(pattern, combination), pattern.m)


@lru_cache(maxsize=20_000)
def members_of(pattern: Pattern, combination: int) -> tuple[int, ...]:
    """The positions a combination holds, ascending."""
    return tuple(pattern.member_array[combination].tolist())
