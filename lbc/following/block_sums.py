"""Checksums of a file that grows, which tell how much of a copy is still what the file holds."""

from __future__ import annotations

from typing import IO
from zlib import crc32

BLOCK = 1 << 18
"""Bytes of a block: 1 GiB has four thousand sums."""


class BlockSums:
    """The CRC-32 of every block of the first ``size`` bytes of a file; the last may be shorter."""

    def __init__(self, size: int = 0, sums: list[int] | None = None) -> None:
        """Raises ValueError if there is not one sum for each block."""
        self.size, self.sums = size, list(sums or [])
        if size < 0 or len(self.sums) != -(-size // BLOCK):
            raise ValueError(f"{len(self.sums)} sums are not those of {size} bytes")

    @classmethod
    def of(cls, file: IO[bytes]) -> BlockSums:
        """Those of a file, read from its start."""
        known = cls()
        file.seek(0)
        while data := file.read(BLOCK):
            known.extend(data)
        return known

    def extend(self, data: bytes) -> None:
        """Count in what follows."""
        at = 0
        while at < len(data):
            filled = self.size % BLOCK
            part = data[at : at + BLOCK - filled]
            if filled:
                self.sums[-1] = crc32(part, self.sums[-1])
            else:
                self.sums.append(crc32(part))
            self.size += len(part)
            at += len(part)

    def common(self, file: IO[bytes], blocks: int | None = None) -> int:
        """How many of the first ``size`` bytes the file still has, rounded down to whole blocks.

        Only the last ``blocks`` are compared, and those before them if the first one differs.
        """
        first = 0 if blocks is None else max(0, len(self.sums) - blocks)
        for at in range(first, len(self.sums)):
            length = min(BLOCK, self.size - at * BLOCK)
            file.seek(at * BLOCK)
            data = file.read(length)
            if len(data) < length or crc32(data) != self.sums[at]:
                return self.common(file) if first and at == first else at * BLOCK
        return self.size

    def cut(self, size: int) -> None:
        """Forget what follows the first ``size`` bytes, which are whole blocks or all."""
        if size == self.size:
            return
        self.size, self.sums = size, self.sums[: size // BLOCK]
