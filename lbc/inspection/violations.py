"""The blocks of a weight that violate N:M, with the coordinates of their weights."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lbc.files.atomic import write_atomically
from lbc.inspection.rows import Kept, in_chunks, kept_rows, rows_shape, unit_counts
from lbc.sparsity.blocks import block_coordinates
from lbc.sparsity.compliance import Violation
from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:
    from torch import Tensor

CSV_HEADER = ("layer", "pattern", "block", "kept", "coordinates")


@dataclass(frozen=True)
class Violations:
    """Blocks of a weight of ``shape`` with too many nonzeros, or nonzero groups, ascending.

    ``count`` is the number of all; ``blocks``, int64 (V,), are indices of the first ones into
    ``Pattern.to_blocks``; ``members``, uint8 (V, M), is 1 for each nonzero weight.
    """

    pattern: Pattern
    shape: tuple[int, ...]
    count: int
    blocks: npt.NDArray[np.int64]
    members: Kept

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> Violation:
        """One violation, with the coordinates of its nonzero weights."""
        coordinates = block_coordinates(self.shape, self.pattern, int(self.blocks[index]))
        kept = np.flatnonzero(self.members[index])
        return Violation(int(self.blocks[index]), len(kept), tuple(coordinates[j] for j in kept))

    def __iter__(self) -> Iterator[Violation]:
        return (self[index] for index in range(len(self)))


def find_violations(
    weight: Tensor, pattern: Pattern, most: int | None = None, count: int | None = None
) -> Violations:
    """Find the violations of a weight (O, I, *kernel); all are counted, and ``most`` kept.

    With their ``count``, no more of the weight is read than for those. Raises ValueError if the
    input width is not a multiple of M.
    """
    blocks, members, found = [np.zeros(0, np.int64)], [np.zeros((0, pattern.m), np.uint8)], 0
    pattern.input_width(tuple(weight.shape))
    wanted = count if most is None or count is None else min(most, count)
    chunks = violations_in_chunks(weight, pattern)
    while (wanted is None or found < wanted) and (chunk := next(chunks, None)) is not None:
        room = None if most is None else max(0, most - found)
        blocks.append(chunk[0][:room])
        members.append(chunk[1][:room])
        found += len(chunk[0])
    total, shape = found if count is None else count, tuple(weight.shape)
    return Violations(pattern, shape, total, np.concatenate(blocks), np.concatenate(members))


def violations_in_chunks(
    weight: Tensor, pattern: Pattern
) -> Iterator[tuple[npt.NDArray[np.int64], Kept]]:
    """Yield ``blocks`` and ``members`` of all violations, some rows at a time."""
    for part in in_chunks(*rows_shape(tuple(weight.shape))):
        kept = kept_rows(weight, part)
        over = unit_counts(kept, pattern) > pattern.units.n
        found = np.flatnonzero(over)
        yield found + part.start * over.shape[1], kept.reshape(-1, pattern.m)[found]


def save_violations(path: Path, layers: Iterable[tuple[str, Violations]]) -> int:
    """Atomically write a CSV file as ``write_csv`` does; returns its count. Raises OSError."""
    count = 0

    def write(file: IO[bytes]) -> None:
        nonlocal count
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        count = write_csv(text, layers)
        text.detach()  # whoever opened the file closes it

    write_atomically(path, write, follow=True)
    return count


def write_csv(file: IO[str], layers: Iterable[tuple[str, Violations]]) -> int:
    """Write one line per violation; returns the number of violations.

    The coordinates are those of the nonzero weights, (o, i) or (o, i, kh, kw), separated by spaces.
    """
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(CSV_HEADER)
    count = 0
    for name, violations in layers:
        count += len(violations)
        for violation in violations:
            where = " ".join(str(point).replace(" ", "") for point in violation.coordinates)
            lines.writerow((name, violations.pattern, violation.block, violation.kept, where))
    return count
