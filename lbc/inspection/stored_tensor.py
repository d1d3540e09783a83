"""Tensors in files: what the header says of each, and reading one at a time."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lbc.files.small_file import open_regular
from lbc.inspection.errors import DamagedError, LayerError

if TYPE_CHECKING:
    from torch import Tensor

FLOATS = {
    "float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "float8_e4m3fn": 1, "float8_e5m2": 1,
    "float8_e4m3fnuz": 1, "float8_e5m2fnuz": 1,
}  # fmt: skip
"""Types whose zeros mean no weight, with the bytes of an element."""

SIZES = FLOATS | {
    "int64": 8, "int32": 4, "int16": 2, "int8": 1, "uint8": 1, "bool": 1,
    "uint16": 2, "uint32": 4, "uint64": 8, "complex64": 8, "complex128": 16, "float8_e8m0fnu": 1,
}  # fmt: skip
"""Every type that can be read, as torch names it."""

LARGEST = 1 << 48
"""More elements than any file holds."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file; nothing of it is in memory.

    ``dtype`` is torch's name or, if torch has none, the file's; ``bytes`` its size in the file.
    ``problem`` says why it cannot be read, as the end of a sentence, or is empty. ``mapped``: what
    is read lies in the file's own memory, which is safe only until another program shortens it.
    ``damaged``: the problem is that the file is not what was written.
    """

    dtype: str
    shape: tuple[int, ...]
    bytes: int
    load: Callable[[], Tensor]
    problem: str = ""
    mapped: bool = False
    damaged: bool = False

    @property
    def weights(self) -> int:
        return prod(self.shape)

    def read(self) -> Tensor:
        """The values, in the file's own memory where possible. Raises LayerError."""
        if self.problem:
            raise LayerError(self.problem)
        try:
            return self.load()
        except (RuntimeError, ValueError, TypeError, EOFError, MemoryError) as error:
            raise DamagedError(f"it is damaged ({type(error).__name__})") from error


def unreadable(
    dtype: str, shape: Sequence[int], problem: str, size: int = 0, damaged: bool = False
) -> StoredTensor:
    """A tensor of which only the header can be shown."""

    def fail() -> Tensor:
        raise LayerError(problem)

    return StoredTensor(dtype, tuple(shape), size, fail, problem, damaged=damaged)


@dataclass(frozen=True)
class Extent:
    """``size`` bytes of a file from ``start``; ``check`` raises DamagedError if they are not those
    that were written."""

    file: Path
    start: int
    size: int
    check: Callable[[memoryview], None] | None = None

    def map(self) -> np.memmap[tuple[int], np.dtype[np.uint8]]:
        """The bytes, not copied; writing to them does not change the file."""
        if self.start + self.size > self.file.stat().st_size:
            raise DamagedError(f"{self.file.name} has become shorter")
        with open_regular(self.file) as stream:
            mapped = np.memmap(stream, np.uint8, "c", self.start, (self.size,))
        if self.check is not None:
            self.check(mapped.data)
        return mapped


def tensor_in(
    extent: Extent,
    dtype: str,
    shape: Sequence[int],
    strides: Sequence[int] | None = None,
    offset: int = 0,
) -> StoredTensor:
    """The tensor whose elements lie in ``extent``, from ``offset``, by default contiguous."""
    shape = tuple(shape)
    if dtype not in SIZES:
        return unreadable(dtype, shape, f"torch has no type {dtype}", extent.size)
    if any(size < 0 for size in shape) or prod(shape) > LARGEST:
        return unreadable(dtype, shape, "its shape is impossible", extent.size)
    count = prod(shape)
    steps = tuple(strides) if strides is not None else contiguous(shape)
    if len(steps) != len(shape) or min((*steps, offset), default=0) < 0:
        return unreadable(dtype, shape, "its strides are impossible", extent.size)
    last = offset + sum((size - 1) * step for size, step in zip(shape, steps, strict=True))
    held = extent.size // SIZES[dtype]
    if count and last >= held:
        return unreadable(dtype, shape, "its data are not all in the file", extent.size, True)
    # A view with stride 0 can have any size with one stored element, and would fill the memory.
    if count > held:
        problem = "it is an expanded view, larger than its stored data: save a copy of it"
        return unreadable(dtype, shape, problem, extent.size)

    def load() -> Tensor:
        import torch

        if not count:
            return torch.empty(shape, dtype=getattr(torch, dtype))
        whole = extent.map()[: held * SIZES[dtype]]
        elements = torch.from_numpy(whole).view(getattr(torch, dtype))
        return elements.as_strided(shape, steps, offset)

    return StoredTensor(dtype, shape, count * SIZES[dtype], load, mapped=True)


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """The strides of a contiguous tensor, in elements."""
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def same_byte_order(order: str) -> bool:
    """Whether ``order``, "little" or "big", is that of this machine."""
    return order == sys.byteorder
