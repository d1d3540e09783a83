"""The removal schedule: how many combinations live in a block at a moment."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import count
from math import ceil, comb, cos, floor, isfinite, log2, pi
from typing import Literal, get_args

from lbc.sparsity.pattern import Pattern

Kind = Literal["polynomial", "linear", "cosine", "exponential", "step"]
KINDS: tuple[Kind, ...] = get_args(Kind)

LARGEST_EXACT_EXPONENT = 100
"""Above it the polynomial is computed in floats: exact fractions would fill the memory."""


@dataclass(frozen=True)
class Schedule:
    """From all C combinations at ``start`` (t_i) down to one at ``end`` (t_f), in epochs.

    With f = (epoch − start) / (end − start) clamped to [0, 1], the share of the C − 1 surplus
    combinations still live is

    ============  ==========================  ==================================================
    polynomial    (1 − f)^exponent            the paper's; exponent 3 is its cubic
    linear        1 − f
    cosine        (1 + cos πf) / 2            slow at both ends
    exponential   (C^(1−f) − 1) / (C − 1)     every epoch removes the same share of what is left
    step          1 − ⌊f·steps⌋ / steps       stairs: scores compete undisturbed in between
    ============  ==========================  ==================================================

    Source of the polynomial: Zhang et al., NeurIPS 2022; the defaults are its ResNet
    recipe. Raises ValueError where the schedule ends before it starts or a value is impossible.
    """

    kind: Kind = "polynomial"
    start: float = 0
    end: float = 60
    exponent: float = 3
    steps: int = 4

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"The schedule {self.kind!r} is unknown: choose {', '.join(KINDS)}.")
        for name in ("start", "end", "exponent"):
            if not isfinite(getattr(self, name)):
                raise ValueError(f"The schedule's {name} must be a finite number.")
        if self.start < 0:
            raise ValueError(f"The schedule starts at epoch {self.start:g}: start at 0 or later.")
        if self.end <= self.start:
            raise ValueError(
                f"The schedule ends (epoch {self.end:g}) before it starts (epoch {self.start:g}): "
                "choose an end after the start."
            )
        if self.exponent <= 0:
            raise ValueError(f"The schedule's exponent is {self.exponent:g}: it must be above 0.")
        if self.steps < 1:
            raise ValueError(f"The schedule has {self.steps} steps: it needs at least one.")

    def live(self, pattern: Pattern, epoch: float) -> int:
        """How many combinations of a block live at ``epoch``: C down to 1.

        1 + ⌈(C − 1) · remaining(f)⌉ while f < 1, else 1. Computed in exact fractions wherever
        the formula is rational, so that no rounding error adds or drops a combination.
        """
        span = Fraction(self.end) - Fraction(self.start)
        done = (Fraction(epoch) - Fraction(self.start)) / span
        left = 1 - min(max(done, Fraction(0)), Fraction(1))
        surplus = pattern.count - 1
        if left in (0, 1):
            return 1 + surplus * int(left)
        # Before the end the surplus is above 0, also where a float underflows.
        return min(1 + max(ceil(self._surplus(left, surplus)), 1), pattern.count)

    def _surplus(self, left: Fraction, surplus: int) -> Fraction:
        match self.kind:
            case "polynomial" if self.exponent == int(self.exponent) <= LARGEST_EXACT_EXPONENT:
                return surplus * left ** int(self.exponent)
            case "polynomial":
                return surplus * Fraction(float(left) ** self.exponent)
            case "linear":
                return surplus * left
            case "cosine":
                return surplus * Fraction(1 - cos(pi * float(left))) / 2
            case "exponential":
                return _power(surplus + 1, float(left)) - 1
            case "step":
                return surplus * (1 - Fraction(floor((1 - left) * self.steps), self.steps))


def _power(count: int, share: float) -> Fraction:
    try:
        return Fraction(count**share)
    except OverflowError:  # C(2048, 1024) is beyond the largest float
        whole, part = divmod(log2(count) * share, 1)
        return Fraction(2**part) * (1 << int(whole))


@lru_cache(maxsize=4096)
def density_bounds(pattern: Pattern, live: int) -> tuple[float, float]:
    """The least and the greatest share of a block's positions that ``live`` combinations hold.

    u positions hold at most C(u, N) combinations, so the union of ``live`` of them has at least
    the smallest u with C(u, N) >= live: N + 1 as soon as two live. It has at most
    min(M, N · live). With groups these are numbers of groups. Raises ValueError unless
    1 <= live <= C.
    """
    if not 1 <= live <= pattern.count:
        raise ValueError(
            f"{live} combinations cannot live in a block of {pattern}: "
            f"it has 1 to {pattern.count:,}."
        )
    n, m = pattern.units.n, pattern.units.m
    least = next(u for u in count(n) if comb(u, n) >= live)
    return least / m, min(m, n * live) / m
