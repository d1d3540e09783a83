"""The N:M pattern: its combinations, and the way a weight divides into blocks."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cached_property
from math import comb, lcm, prod
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from lbc.sparsity.arrays import Array, Bools, Indices

A = TypeVar("A", "Tensor", "Array")

LARGEST_M = 4096
"""The widest block; beyond it even counting the combinations takes noticeable time."""

LARGEST_COUNT = 1 << 20
"""The most combinations that are ever written out, one row each (16:24 has 735,471)."""


@dataclass(frozen=True)
class Pattern:
    """At most ``n`` of every ``m`` consecutive weights are non-zero.

    With a group ``width`` above 1 whole groups of so many consecutive weights are kept or cut: of
    4:8x2, what sparse tensor cores for FP4 read on Blackwell (PTX ISA: "pair-wise structured
    sparsity" of ``mma.sp``), two of four pairs are kept. The combinations of a block are then those
    of its groups, N / width of M / width.

    Raises ValueError unless 1 <= n < m <= 4096 and the width divides both.
    """

    n: int
    m: int
    width: int = 1

    def __post_init__(self) -> None:
        for name, value in (("N", self.n), ("M", self.m), ("The width", self.width)):
            if isinstance(value, bool) or not isinstance(value, int):
                raise ValueError(f"{name} of an N:M pattern must be a whole number, not {value!r}.")
        if self.m < 2:
            raise ValueError(f"{self} is impossible: a block needs at least two weights (M >= 2).")
        if self.m > LARGEST_M:
            raise ValueError(f"{self} is too wide: a block may have up to {LARGEST_M:,} weights.")
        if self.n < 1:
            raise ValueError(
                f"{self} is impossible: a block must keep at least one weight (N >= 1)."
            )
        if self.n > self.m:
            raise ValueError(
                f"{self} is impossible: a block of {self.m} cannot keep {self.n} weights."
            )
        if self.n == self.m:
            raise ValueError(f"{self} keeps every weight, which is dense: choose N below {self.m}.")
        if self.width < 1 or self.n % self.width or self.m % self.width:
            raise ValueError(
                f"{self} is impossible: N and M must be multiples of the width of its groups, "
                f"{self.width}, as in 4:8x2."
            )

    def __str__(self) -> str:
        return f"{self.n}:{self.m}" + (f"x{self.width}" if self.width != 1 else "")

    @classmethod
    def parse(cls, text: str) -> Pattern:
        """Read ``"N:M"`` or ``"N:MxWIDTH"``, for example ``"2:4"`` or ``"4:8x2"``.

        Raises ValueError with a sentence.
        """
        number = r"\s*(-?\d{1,9})\s*"
        match = re.fullmatch(f"{number}:{number}(?:[x×]{number})?", str(text), re.ASCII)
        if match is None:
            raise ValueError(
                f"{text!r} is not an N:M pattern: write two whole numbers, like 2:4, or 4:8x2 for "
                "pairs of weights."
            )
        return cls(int(match[1]), int(match[2]), int(match[3] or 1))

    @property
    def units(self) -> Pattern:
        """The pattern of a block's groups, which are single weights unless it has a width.

        Its combinations are those of the pattern, in the same order.
        """
        return self if self.width == 1 else self._groups

    @cached_property
    def _groups(self) -> Pattern:
        return Pattern(self.n // self.width, self.m // self.width)

    @property
    def count(self) -> int:
        """C = C(M / width, N / width), the number of combinations a block has."""
        return comb(self.units.m, self.units.n)

    @property
    def density(self) -> float:
        """N / M, the share of weights kept when one combination is left."""
        return self.n / self.m

    @property
    def limit(self) -> str:
        """The most that a block keeps, in words: "2 weights", "2 groups of 2 weights"."""
        kept, what = self.units.n, "weight" if self.width == 1 else "group"
        plural = what if kept == 1 else f"{what}s"
        return f"{kept} {plural}" + ("" if self.width == 1 else f" of {self.width} weights")

    def most_in(self, size: int) -> int:
        """The most weights that a mask keeps in any of ``size`` consecutive ones, counted from the
        beginning of a row: of 4:6 three in windows of 4, so that its masks are not all 2:4."""

        def most_of_block(first: int, last: int) -> int:
            units = range(first // self.width, -(-last // self.width))
            ends = [(max(first, u * self.width), min(last, (u + 1) * self.width)) for u in units]
            return sum(sorted((end - start for start, end in ends), reverse=True)[: self.units.n])

        most = 0
        for start in range(0, lcm(self.m, size), size):
            edges = [start, *range(start - start % self.m + self.m, start + size, self.m)]
            lengths = zip(edges, [*edges[1:], start + size], strict=True)
            parts = ((at % self.m, at % self.m + end - at) for at, end in lengths)
            most = max(most, sum(most_of_block(*part) for part in parts))
        return most

    @property
    def initial_score(self) -> float:
        """1 / C(M−1, N−1), the score every combination starts from (Zhang et al., NeurIPS 2022).

        The scores of the combinations that hold a position then add up to 1. With groups a position
        is held wherever its group is, so M and N are those of ``units``.
        """
        return 1.0 / comb(self.units.m - 1, self.units.n - 1)

    @cached_property
    def member_array(self) -> Indices:
        """The positions each combination holds: int64 (C, N), ascending, in lexicographic order.

        Raises ValueError where C is above ``LARGEST_COUNT``.
        """
        if self.count > LARGEST_COUNT:
            raise ValueError(
                f"{self} has {self.count:,} combinations in every block, more than the "
                f"{LARGEST_COUNT:,} that can be enumerated: choose a smaller M."
            )
        import numpy as np  # here, so that reading an experiment loads neither numpy nor torch

        of, units = itertools.chain.from_iterable, self.units
        groups = of(itertools.combinations(range(units.m), units.n))
        first = np.fromiter(groups, np.int64, self.count * units.n)[:, None] * self.width
        array = (first + np.arange(self.width)).reshape(-1, self.n)
        array.flags.writeable = False
        return array

    @cached_property
    def incidence_array(self) -> Bools:
        """The incidence A: bool (C, M), row c true at the positions combination c holds."""
        import numpy as np

        array = np.zeros((self.count, self.m), np.bool_)
        np.put_along_axis(array, self.member_array, True, axis=1)
        array.flags.writeable = False
        return array

    @cached_property
    def members(self) -> Tensor:
        """``member_array`` as a tensor of its own. Raises as that."""
        import torch  # here, so that the window can count combinations before torch is loaded

        return torch.tensor(self.member_array)

    def incidence(self, device: torch.device | str = "cpu") -> Tensor:
        """``incidence_array`` as a tensor of its own on a device."""
        import torch

        return torch.tensor(self.incidence_array, device=device)

    def index_of(self, held: Tensor) -> Tensor:
        """Which combination holds just these positions: bool (rows, M) → int64 (rows,).

        Counts what comes later in lexicographic order, so nothing is enumerated: after
        p_0 < … < p_{N−1} come Σ_i C(M − 1 − p_i, N − i) combinations. Every row must hold N, and
        whole groups. In numpy: ``lbc.sparsity.combinations.index_of``.
        """
        if self.width > 1:
            return self.units.index_of(held[:, :: self.width])
        places = held.nonzero()[:, 1].reshape(-1, self.n)
        later = [[comb(self.m - 1 - p, self.n - i) for p in range(self.m)] for i in range(self.n)]
        table = places.new_tensor(later)
        return self.count - 1 - table.T.gather(0, places).sum(dim=1)

    def unit_sums(self, blocks: A) -> A:
        """The sum over each group, of flags whether any is set: (rows, M) → (rows, M / width).

        Added in ascending order of position, so that arrays and tensors have the same bits.
        """
        if self.width == 1:
            return blocks
        total = blocks[:, :: self.width]
        for at in range(1, self.width):
            total = total + blocks[:, at :: self.width]
        return total

    def of_units(self, flags: A) -> A:
        """Every position as its group: (rows, M / width) → (rows, M)."""
        if self.width == 1:
            return flags
        import numpy as np

        if isinstance(flags, np.ndarray):
            return flags.repeat(self.width, axis=1)
        return flags.repeat_interleave(self.width, dim=1)

    def to_blocks(self, weight: A) -> A:
        """Divide a weight, an array or a tensor, into its blocks: (blocks, M).

        Linear (O, I): M consecutive along I. Conv (O, I/groups, *kernel): permuted to
        (O, *kernel, I/groups), then M consecutive along the input channels, the order sparse
        tensor cores read.

        Raises ValueError where the input width is not a multiple of M.
        """
        shape = tuple(weight.shape)
        width = self.input_width(shape)
        for axis in range(2, len(shape)):  # the one permutation that numpy and torch share
            weight = weight.swapaxes(axis - 1, axis)
        return weight.reshape(prod(shape) // width * (width // self.m), self.m)

    def from_blocks(self, blocks: A, shape: tuple[int, ...]) -> A:
        """The inverse of ``to_blocks``: (blocks, M) → contiguous, of ``shape``.

        Raises ValueError where the input width is not a multiple of M.
        """
        import numpy as np

        width = self.input_width(tuple(shape))
        out, _, *kernel = shape
        weight = blocks.reshape(out, *kernel, width)
        for axis in range(len(shape) - 1, 1, -1):
            weight = weight.swapaxes(axis - 1, axis)
        if isinstance(weight, np.ndarray):
            return np.ascontiguousarray(weight)
        return weight.contiguous()

    def input_width(self, shape: tuple[int, ...]) -> int:
        """The input width of a weight of ``shape``; ValueError where blocks do not fit it."""
        if len(shape) < 2:
            raise ValueError(
                f"A weight of shape {shape} has no input dimension to divide into blocks."
            )
        if shape[1] % self.m or not shape[1]:
            raise ValueError(
                f"The input width {shape[1]} of a weight of shape {shape} is not a multiple "
                f"of {self.m}, so {self} blocks do not fit."
            )
        return shape[1]
