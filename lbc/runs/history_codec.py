"""Codes one layer at one moment as its difference from the moment before, without loss.

Winners are a bitmap of the blocks whose winner changed, then the new winners of those blocks. Live
bits are XORed with the previous ones, so that only removals leave ones. Live bits of a decided
layer follow from the winners and are not stored. If a live set fits in a byte, as at 2:4, both
compress better in other terms: a new winner as its rank among the live combinations, and live bits
in order of overlap with the winner, which is nearly the order of removal. zstd compresses the rest.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import zstandard

from lbc.sparsity.arrays import Array, Bools
from lbc.sparsity.combinations import pack, union, unpack
from lbc.sparsity.pattern import Pattern

LARGEST_LIVE_COUNT = 1024
"""Above this many combinations mask bits are stored instead of live bits (4:16 has 1,820)."""

KEY, DECIDED, CHANGED, REMOVED, RANKED, POSITIONS, THINNED = (1 << bit for bit in range(7))
"""Flags of a record: the part is a key, readable on its own; every block has one live combination;
the state changed; combinations were removed; new winners are ranks; scores are by position; the
mask keeps fewer positions than the winners hold, and is stored in place of live bits."""

_SMALL = 8
_LENGTH = struct.Struct("<I")
_LEVEL = 3


@dataclass(frozen=True)
class SearchState:
    """Winners, (blocks,), and packed bits, uint8 (blocks, bytes), of one layer.

    The bits are of the live set (blocks, ⌈C / 8⌉) or, above ``LARGEST_LIVE_COUNT``, of the mask by
    blocks (blocks, ⌈M / 8⌉), bit j mod 8 of byte j // 8. One row may represent all blocks.
    ``thinned`` is the packed mask, (blocks, ⌈M / 8⌉), of a decided layer whose mask keeps fewer
    positions than the winners hold.
    """

    winners: Array
    bits: Array
    thinned: Array | None = None

    def of(self, rows: slice | Sequence[int]) -> SearchState:
        """That of some blocks."""
        bits = self.bits if len(self.bits) == 1 else self.bits[rows]
        thinned = None if self.thinned is None else self.thinned[rows]
        return SearchState(self.winners[rows], bits, thinned)

    def kept(self, pattern: Pattern) -> Bools:
        """The positions that the mask keeps: bool (blocks or 1, M)."""
        if self.thinned is not None:
            return unpack(self.thinned, pattern.m)
        if pattern.count > LARGEST_LIVE_COUNT:
            return unpack(self.bits, pattern.m)
        return union(self.bits, pattern)

    def best(self, pattern: Pattern) -> Bools:
        """The mask if the winners were decided now: bool (blocks, M)."""
        if self.thinned is not None:
            return unpack(self.thinned, pattern.m)
        return np.asarray(pattern.incidence_array.take(self.winners, axis=0))


@dataclass(frozen=True)
class Coded:
    """The parts of one layer at one moment; both are empty if nothing changed."""

    flags: int
    winners: bytes = b""
    bits: bytes = b""


def index_type(pattern: Pattern) -> np.dtype[Any]:
    """The smallest unsigned integers that hold a combination's index."""
    return np.min_scalar_type(pattern.count - 1).newbyteorder("<")


def row_bytes(pattern: Pattern) -> int:
    """Bytes of one block's bits."""
    listed = pattern.count <= LARGEST_LIVE_COUNT
    return -(-(pattern.count if listed else pattern.m) // 8)


def encode(pattern: Pattern, now: SearchState, before: SearchState | None) -> Coded:
    """The difference of ``now`` from ``before``; a key without ``before``."""
    if before is not None and _same(now, before):
        return Coded(DECIDED if decided(pattern, now) else 0)
    flags = CHANGED
    if decided(pattern, now):
        flags |= DECIDED
    thinned = b"" if now.thinned is None else compress(now.thinned.tobytes())
    flags |= THINNED if thinned else 0
    if before is None:
        winners = compress(now.winners.astype(index_type(pattern)).tobytes())
        live = _turn(pattern, now.bits, now.winners)
        return Coded(flags | KEY, winners, thinned if flags & DECIDED else compress(live.tobytes()))
    lost, gained = before.bits & ~now.bits, now.bits & ~before.bits
    if lost.any() and not gained.any():
        flags |= REMOVED
    coded, ranked = _encode_flips(pattern, now, before)
    bits = thinned
    if not flags & DECIDED and (lost.any() or gained.any()):
        bits = compress(_turn(pattern, lost | gained, now.winners).tobytes())
    return Coded(flags | ranked, coded, bits)


def decode(pattern: Pattern, blocks: int, coded: Coded, before: SearchState | None) -> SearchState:
    """The inverse of ``encode``. Raises ValueError if the parts are invalid."""
    if before is not None and not coded.flags & CHANGED:
        return before
    if coded.flags & KEY or before is None:
        data = decompress(coded.winners, blocks * index_type(pattern).itemsize)
        winners = np.frombuffer(data, index_type(pattern))
        bits = np.zeros((1, row_bytes(pattern)), np.uint8)
    else:
        winners, bits = _decode_flips(pattern, coded, before), before.bits
    if len(winners) != blocks or (blocks and int(winners.max()) >= pattern.count):
        raise ValueError("a winner is none of the combinations")
    thinned = None
    if coded.flags & DECIDED:
        bits = winner_bits(pattern, winners)
        if coded.flags & THINNED:
            width = -(-pattern.m // 8)
            data = decompress(coded.bits, blocks * width)
            thinned = np.frombuffer(data, np.uint8).reshape(blocks, width)
    elif coded.bits:
        data = decompress(coded.bits, blocks * row_bytes(pattern))
        change = np.frombuffer(data, np.uint8).reshape(-1, row_bytes(pattern))
        if len(change) not in (1, blocks):
            raise ValueError("the live sets are not as many as the blocks")
        bits = bits ^ _turn(pattern, change, winners, back=True)
    for array in (winners, bits):
        array.flags.writeable = False
    return SearchState(winners, bits, thinned)


def winner_bits(pattern: Pattern, winners: Array) -> Array:
    """The bits of blocks in which only the winner is live: uint8 (blocks, bytes)."""
    if pattern.count > LARGEST_LIVE_COUNT:
        return np.asarray(_packed_members(pattern)[winners])
    bits = np.zeros((len(winners), row_bytes(pattern)), np.uint8)
    places = winners.astype(np.intp)
    bits[np.arange(len(winners)), places >> 3] = np.left_shift(1, places & 7)
    return bits


def compress(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_LEVEL).compress(data)


def decompress(data: bytes, largest: int) -> bytes:
    """Raises ValueError if the data are not compressed, or longer than ``largest`` bytes."""
    try:
        if zstandard.frame_content_size(data) > largest:
            raise ValueError("a part holds more than the layer has")
        return zstandard.ZstdDecompressor().decompress(data, max_output_size=largest)
    except zstandard.ZstdError as error:
        raise ValueError("a part cannot be decompressed") from error


def _same(now: SearchState, before: SearchState) -> bool:
    if now.thinned is not None and before.thinned is not None:
        same = np.array_equal(now.thinned, before.thinned)
    else:
        same = now.thinned is before.thinned
    return (
        same
        and np.array_equal(now.winners, before.winners)
        and bool((now.bits == before.bits).all())
    )


def decided(pattern: Pattern, state: SearchState) -> bool:
    """Whether in every block only the winner is live."""
    if len(state.bits) != len(state.winners):
        return False
    first = winner_bits(pattern, state.winners[:1])
    return np.array_equal(first, state.bits[:1]) and np.array_equal(
        winner_bits(pattern, state.winners), state.bits
    )


def _encode_flips(pattern: Pattern, now: SearchState, before: SearchState) -> tuple[bytes, int]:
    flipped = now.winners != before.winners
    if not flipped.any():
        return b"", 0
    old = before.winners[flipped].astype(np.int64)
    new = now.winners[flipped].astype(np.int64)
    values, ranked = new, 0
    if pattern.count <= _SMALL:
        others = _others(before, flipped, old)
        if bool((others >> new & 1).all()):
            values, ranked = np.bitwise_count(others & ((1 << new) - 1)).astype(np.int64), RANKED
    bitmap = compress(np.packbits(flipped).tobytes())
    chosen = compress(values.astype(index_type(pattern)).tobytes())
    return _LENGTH.pack(len(bitmap)) + bitmap + chosen, ranked


def _decode_flips(pattern: Pattern, coded: Coded, before: SearchState) -> Array:
    if not coded.winners:
        return before.winners
    blocks = len(before.winners)
    (length,) = _LENGTH.unpack_from(coded.winners)
    bitmap = coded.winners[_LENGTH.size : _LENGTH.size + length]
    packed = np.frombuffer(decompress(bitmap, -(-blocks // 8)), np.uint8)
    flipped = np.flatnonzero(np.unpackbits(packed, count=blocks).view(bool))
    chosen = coded.winners[_LENGTH.size + length :]
    size = len(flipped) * index_type(pattern).itemsize
    values = np.frombuffer(decompress(chosen, size), index_type(pattern))
    if coded.flags & RANKED:
        others = _others(before, flipped, before.winners[flipped].astype(np.int64))
        values = _select()[others, values & 7]
    winners = before.winners.copy()
    winners[flipped] = values
    return winners


def _others(before: SearchState, rows: Array, old: Array) -> Array:
    """Live combinations other than the winner, as one number per block."""
    bits = np.broadcast_to(before.bits[:, 0], before.winners.shape)
    return bits[rows].astype(np.int64) & ~(1 << old)


@lru_cache(maxsize=1)
def _select() -> Array:
    """The index of the r-th set bit of every byte: uint8 (256, 8)."""
    table = np.zeros((256, _SMALL), np.uint8)
    for byte in range(256):
        places = [bit for bit in range(8) if byte >> bit & 1]
        table[byte, : len(places)] = places
    return table


def _turn(pattern: Pattern, bits: Array, winners: Array, back: bool = False) -> Array:
    """Small live sets reordered by overlap with the winner, or back."""
    if pattern.count > _SMALL or len(bits) != len(winners):
        return bits
    places = winners.astype(np.uint16) << 8 | bits[:, 0]
    return np.asarray(_turned(pattern)[int(back)].take(places)[:, None])


@lru_cache(maxsize=8)
def _turned(pattern: Pattern) -> tuple[Array, Array]:
    """Every byte of live bits, reordered for every winner and back: uint8 (C, 256) each."""
    members = pattern.incidence_array.astype(np.int64)
    order = np.argsort(-(members @ members.T), axis=1, kind="stable")
    octets = np.arange(256)
    there, back = np.zeros((2, pattern.count, 256), np.uint8)
    for place in range(pattern.count):
        source = order[:, place, None]
        there |= ((octets >> source & 1) << place).astype(np.uint8)
        back |= ((octets >> place & 1) << source).astype(np.uint8)
    return there, back


@lru_cache(maxsize=8)
def _packed_members(pattern: Pattern) -> Array:
    """The mask bits of every single combination: uint8 (C, ⌈M / 8⌉)."""
    return pack(pattern.incidence_array)
