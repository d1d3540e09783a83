"""Every block of a weight that keeps more than N, and where its weights are."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from lbc.files.atomic import write_atomically
from lbc.inspection.rows import Kept, block_counts, in_chunks
from lbc.sparsity.compliance import Violation, block_coordinates
from lbc.sparsity.pattern import Pattern

CSV_HEADER = ("layer", "pattern", "block", "kept", "coordinates")


@dataclass(frozen=True)
class Violations:
    """All blocks of a weight of ``shape`` with more than N non-zeros, in ascending order.

    ``blocks`` int64 (V,) numbers them as ``Pattern.to_blocks`` does; ``members`` uint8 (V, M) is 1
    where a weight is kept.
    """

    pattern: Pattern
    shape: tuple[int, ...]
    blocks: npt.NDArray[np.int64]
    members: Kept

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, at: int) -> Violation:
        """One of them, with the coordinates of the weights it keeps."""
        places = block_coordinates(self.shape, self.pattern, int(self.blocks[at]))
        held = np.flatnonzero(self.members[at])
        return Violation(int(self.blocks[at]), len(held), tuple(places[j] for j in held))

    def __iter__(self) -> Iterator[Violation]:
        return (self[at] for at in range(len(self)))


def find_violations(kept: Kept, shape: tuple[int, ...], pattern: Pattern) -> Violations:
    """All violations in ``kept`` (O, kernel · I), 1 where the weight of ``shape`` is not zero.

    Raises ValueError where the input width is not a multiple of M.
    """
    pattern.input_width(shape)
    found = []
    counting = np.uint8 if pattern.m <= np.iinfo(np.uint8).max else np.uint16
    for part in in_chunks(*kept.shape):
        over = block_counts(kept[part].astype(counting, copy=False), pattern.m) > pattern.n
        found.append(np.flatnonzero(over) + part.start * over.shape[1])
    blocks = np.concatenate(found).astype(np.int64)
    return Violations(pattern, shape, blocks, kept.reshape(-1, pattern.m)[blocks])


def save_violations(path: Path, layers: Iterable[tuple[str, Violations]]) -> int:
    """``write_csv`` into a file, which is replaced whole or not at all. Raises OSError."""
    count = 0

    def write(file: IO[bytes]) -> None:
        nonlocal count
        text = TextIOWrapper(file, encoding="utf-8", newline="")
        count = write_csv(text, layers)
        text.detach()  # the file is closed by who has opened it

    write_atomically(path, write)
    return count


def write_csv(file: IO[str], layers: Iterable[tuple[str, Violations]]) -> int:
    """Write a line for every violation of every layer; how many there were.

    The coordinates are those of the kept weights, (o, i) or (o, i, kh, kw), separated by spaces.
    """
    lines = csv.writer(file, lineterminator="\n")
    lines.writerow(CSV_HEADER)
    count = 0
    for name, violations in layers:
        count += len(violations)
        for at in violations:
            places = " ".join(str(place).replace(" ", "") for place in at.coordinates)
            lines.writerow((name, violations.pattern, at.block, at.kept, places))
    return count
