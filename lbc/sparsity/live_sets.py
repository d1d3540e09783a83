"""Live sets as packed bits in torch, for training: which combinations each block has left.

``lbc.sparsity.combinations`` has the same without torch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache, partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lbc.sparsity import combinations
from lbc.sparsity.pattern import Pattern

CACHED_BYTES = 16
"""Live bits of a decided block that are kept once computed: what is drawn again and again."""

CHUNK_BYTES = 1 << 22
"""Live bits unpacked at a time, one byte each."""

TieBreak = Callable[[Tensor], Tensor]
"""What decides among equal scores: int64 (rows,), which rows of those given, → (rows, C)."""


def is_plain(tensor: Tensor) -> bool:
    """Whether the tensor has data now: not while torch compiles, exports or transforms."""
    return not (
        torch.compiler.is_compiling() or torch._C._functorch.is_functorch_wrapped_tensor(tensor)
    )


def pack(live: Tensor) -> Tensor:
    """bool (blocks, C) → uint8 (blocks, ⌈C / 8⌉), combination c in bit c mod 8 of byte c // 8."""
    if live.is_cpu:
        return torch.from_numpy(combinations.pack(live.numpy()))
    padded = F.pad(live, (0, -live.shape[1] % 8)).view(torch.uint8)
    octets = padded.reshape(len(live), padded.shape[1] // 8, 8)
    packed = octets[..., 0].clone()
    for bit in range(1, 8):
        packed |= octets[..., bit] << bit
    return packed


def unpack(packed: Tensor, count: int) -> Tensor:
    """uint8 (blocks, ⌈C / 8⌉) → bool (blocks, C); the inverse of ``pack``."""
    if torch.compiler.is_compiling():
        places = torch.arange(8, dtype=torch.uint8, device=packed.device)
        return (packed[..., None] >> places & 1).bool().flatten(1)[:, :count]
    octets = packed.new_empty((*packed.shape, 8))
    for bit in range(8):
        torch.bitwise_and(packed >> bit, 1, out=octets[..., bit])
    return octets.view(torch.bool).flatten(1)[:, :count]


def only_live(scores: Tensor, packed: Tensor) -> Tensor:
    """Scores (blocks, C) with −inf where ``packed``, uint8 (blocks, ⌈C / 8⌉), has no bit."""
    # A byte looks up the bounds of its eight scores: a quarter of what unpacking and filling take.
    bounds = F.embedding(packed.int(), _bounds(scores.device, scores.dtype)).flatten(1)
    return torch.minimum(scores, bounds[:, : scores.shape[1]])


@lru_cache(maxsize=16)
def _bounds(device: torch.device, dtype: torch.dtype) -> Tensor:
    """The largest score each bit of a byte allows: +inf where set, −inf where not, (256, 8)."""
    octets = torch.arange(256, dtype=torch.uint8).unsqueeze(1)
    bounds = torch.full((256, 8), -torch.inf, dtype=dtype)
    return bounds.masked_fill_(unpack(octets, 8), torch.inf).to(device)


@lru_cache(maxsize=64)
def _prefixes(pattern: Pattern, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """How combinations grow from their prefixes, the first k + 1 groups of each, for every k.

    Each prefix is one of k groups, given by its number, and one group more. Combinations in
    lexicographic order with the same prefix are neighbours, so it is summed once for all.
    """
    with torch.inference_mode(False):
        members = pattern.units.members
        parents = torch.zeros(len(members), dtype=torch.int64)
        grown = []
        for k in range(pattern.units.n):
            changes = (members[1:, : k + 1] != members[:-1, : k + 1]).any(dim=1)
            first = torch.cat([changes.new_ones(1), changes])
            grown.append((parents[first].to(device), members[first, k].to(device)))
            parents = first.cumsum(0) - 1
        return grown


def member_sums(values: Tensor, pattern: Pattern) -> Tensor:
    """The sum over each combination's positions: (rows, M) → (rows, C).

    Added in ascending order of position, first within groups, never by a matrix product: equal
    values must give equal sums to the last bit on every device, or ties would not be ties.
    """
    values = pattern.unit_sums(values)
    (_, first), *rest = _prefixes(pattern, values.device)
    total = values.index_select(1, first)
    for parents, position in rest:
        total = total.index_select(1, parents)
        total += values.index_select(1, position)
    return total


def best(scores: Tensor, among_equals: TieBreak) -> Tensor:
    """The best of every row, by ``among_equals`` where several are: (blocks, C) → (blocks,)."""
    if suits_numpy(scores):
        values = scores.detach().numpy()
        first = values.argmax(axis=1)
        top = values[np.arange(len(first)), first].repeat(values.shape[1])
        equal = torch.from_numpy(values == top.reshape(values.shape))
        found = torch.from_numpy(first)
    else:
        found = scores.argmax(dim=1)
        equal = scores == scores.gather(1, found[:, None])
    if int(equal.count_nonzero()) > len(found):
        tied = (equal.sum(dim=1) > 1).nonzero().squeeze(1)
        found[tied] = among_equals(tied).masked_fill(~equal[tied], -torch.inf).argmax(dim=1)
    return found


def keep_best(scores: Tensor, live: int, among_equals: TieBreak | None = None) -> Tensor:
    """The live set of the ``live`` best scores in every row: (blocks, C) → bool (blocks, C).

    Among equals ``among_equals`` decides, whose values must be finite, and then the
    lexicographically earlier combination stays. The kth-largest value is the
    same whichever algorithm finds it, so the answer is the same on every device. Removed
    combinations are −inf and stay removed; rows with fewer than ``live`` others keep all of those.
    """
    if not is_plain(scores):  # without a branch that depends on the data
        order = scores.argsort(dim=1, descending=True, stable=True)[:, :live]
        best = torch.zeros_like(scores, dtype=torch.bool).scatter(1, order, True)
        return best & (scores > -torch.inf)
    threshold = kth_largest(scores, live)
    kept = scores >= threshold
    # As bytes: torch adds bytes up several times faster than bools.
    crowded = (kept.view(torch.uint8).sum(dim=1, dtype=torch.int32) > live).nonzero().squeeze(1)
    if len(crowded):
        rows, least = scores[crowded], threshold[crowded]
        better, equal = rows > least, rows == least
        if among_equals is not None:
            keys = among_equals(crowded).masked_fill(~equal, -torch.inf)
            kept[crowded] = keep_best(keys.masked_fill_(better, torch.inf), live)
        else:
            places = live - better.sum(dim=1, keepdim=True)
            equal &= equal.cumsum(dim=1, dtype=torch.int32) <= places
            kept[crowded] = better | equal
    if bool((threshold == -torch.inf).any()):
        kept &= scores > -torch.inf
    return kept


def kth_largest(scores: Tensor, k: int) -> Tensor:
    """The kth-largest value of every row: (blocks, C) → (blocks, 1)."""
    if suits_numpy(scores):
        place = scores.shape[1] - k
        parted = np.partition(scores.detach().numpy(), place, axis=1)
        return torch.from_numpy(parted[:, place, np.newaxis].copy())
    return scores.topk(k, dim=1, sorted=False).values.amin(dim=1, keepdim=True)


def rows_of(block: int | None) -> slice:
    """The row of one block, or the rows of all."""
    return slice(None) if block is None else slice(block, block + 1)


def suits_numpy(scores: Tensor) -> bool:
    """Whether NumPy, with its vector instructions, ranks them, several times as fast as torch."""
    return scores.is_cpu and scores.dtype in (torch.float32, torch.float64)


class LiveSets:
    """Which combinations of every block are live; a value that never changes.

    Kept in the smallest of three forms: nothing while no combination has been removed, packed bits
    (as ``pack`` makes them) while several compete, and once each block has one combination left the
    winners, int32, where bits take more.
    """

    def __init__(
        self,
        blocks: int,
        count: int,
        device: torch.device,
        bits: Tensor | None = None,
        winners: Tensor | None = None,
    ) -> None:
        self.blocks = blocks
        self.count = count
        self.device = device
        self._bits = bits
        self._winners = winners
        self._most: int | None = None
        self._bits_of_winners: Tensor | None = None
        if winners is not None and -(-count // 8) < winners.element_size():
            self._bits, self._winners = self._bits_of(winners), None

    @staticmethod
    def fits(stored: Tensor, blocks: int, count: int) -> bool:
        """Whether ``load`` takes ``stored`` for ``blocks`` blocks of ``count`` combinations."""
        if stored.dtype == torch.int32 and stored.shape == (blocks,):
            return not bool(((stored < 0) | (stored >= count)).any())
        width = -(-count // 8)
        return stored.dtype == torch.uint8 and stored.shape in ((1, width), (blocks, width))

    @classmethod
    def load(cls, stored: Tensor, blocks: int, count: int) -> LiveSets:
        """The live sets that the property ``stored`` of others gave.

        Raises ValueError if it does not fit ``blocks`` blocks of ``count`` combinations.
        """
        if not cls.fits(stored, blocks, count):
            raise ValueError(
                f"live sets of shape {tuple(stored.shape)} and type {stored.dtype} do not fit "
                f"{blocks} blocks of {count} combinations"
            )
        if stored.dtype == torch.int32:
            return cls(blocks, count, stored.device, winners=stored)
        # One row represents all blocks until something is removed.
        if len(stored) == 1 and bool(unpack(stored, count).all()):
            return cls(blocks, count, stored.device)
        return cls(blocks, count, stored.device, bits=stored.expand(blocks, -1))

    @property
    def complete(self) -> bool:
        """Whether no combination of any block has been removed."""
        return self._bits is None and self._winners is None

    @property
    def stored(self) -> Tensor:
        """What a state dict keeps.

        uint8 (1, ⌈C / 8⌉) while nothing has been removed, (blocks, ⌈C / 8⌉) while combinations
        compete, int32 (blocks,) once one is left in every block and C is above 24.
        """
        return self.bits if self._winners is None else self._winners

    @property
    def bits(self) -> Tensor:
        """Live bits: uint8 (blocks, ⌈C / 8⌉), or one row for all blocks while complete."""
        if self._bits_of_winners is not None:
            return self._bits_of_winners
        bits = self._packed(slice(None))
        if bits is None:
            return pack(torch.ones((1, self.count), dtype=torch.bool, device=self.device))
        if self._winners is not None and bits.shape[1] <= CACHED_BYTES:
            self._bits_of_winners = bits
        return bits

    @property
    def most(self) -> int:
        """The most combinations that any block has left."""
        if self._most is None:
            self._most = int(self.counts().max()) if self.blocks else 1
        return self._most

    def live(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """bool (rows, C)."""
        packed = self._packed(rows)
        if packed is not None:
            return unpack(packed, self.count)
        size = len(torch.arange(self.blocks)[rows])
        return torch.ones((1, self.count), dtype=torch.bool, device=self.device).expand(size, -1)

    def counts(self) -> Tensor:
        """How many combinations each block has left: int32 (blocks,)."""
        if self._bits is None:
            left = self.count if self._winners is None else 1
            return torch.full((self.blocks,), left, dtype=torch.int32, device=self.device)
        parts = torch.split(self._bits, max(1, CHUNK_BYTES // self.count))
        live = (unpack(part, self.count).view(torch.uint8) for part in parts)
        return torch.cat([part.sum(1, dtype=torch.int32) for part in live])

    def holds(self, combination: int, block: int | None = None) -> Tensor:
        """Whether a combination is live: bool (blocks,), or (1,) for one block."""
        rows = rows_of(block)
        if self._winners is not None:
            return self._winners[rows] == combination
        bits = self.bits.expand(self.blocks, -1)
        return (bits[rows, combination // 8] >> combination % 8 & 1).bool()

    def without_removed(self, scores: Tensor, rows: slice | Tensor) -> Tensor:
        """Scores (rows, C) with −inf where removed."""
        packed = self._packed(rows)
        return scores if packed is None else only_live(scores, packed.to(scores.device))

    def restricted(self, allowed: Tensor, block: int | None = None) -> LiveSets:
        """Without what is not in ``allowed``, bool (C,), in one block or in all."""
        bits = self.bits.expand(self.blocks, -1).clone()
        bits[rows_of(block)] &= pack(allowed[None].cpu()).to(bits.device)
        return LiveSets(self.blocks, self.count, self.device, bits=bits)

    def map(self, change: Callable[[Tensor], Tensor]) -> LiveSets:
        """With every tensor changed by ``change``, as ``Module._apply`` moves a module."""
        bits = None if self._bits is None else change(self._bits)
        winners = None if self._winners is None else change(self._winners)
        device = change(torch.empty(0, dtype=torch.uint8, device=self.device)).device
        changed = LiveSets(self.blocks, self.count, device, bits, winners)
        changed._most = self._most  # counting anew would wait for the device
        return changed

    def __deepcopy__(self, _memo: dict[int, object]) -> LiveSets:
        return self

    def _packed(self, rows: slice | Tensor) -> Tensor | None:
        """Live bits (rows, ⌈C / 8⌉), None while complete."""
        if self._winners is not None:
            return self._bits_of(self._winners[rows])
        return None if self._bits is None else self._bits[rows]

    def _bits_of(self, winners: Tensor) -> Tensor:
        bits = winners.new_zeros((len(winners), -(-self.count // 8)), dtype=torch.uint8)
        one = torch.bitwise_left_shift(torch.ones_like(winners), winners % 8).to(torch.uint8)
        return bits.scatter_(1, (winners // 8).long()[:, None], one[:, None])


class Sizes:
    """Σ|w| of a weight's combinations, computed where scores are equal, which is rare."""

    def __init__(self, weight: Tensor, pattern: Pattern) -> None:
        self._weight, self._pattern = weight.detach(), pattern

    @cached_property
    def _positions(self) -> Tensor:
        return self._pattern.to_blocks(self._weight)  # for a convolution a copy

    def of(self, blocks: slice) -> TieBreak:
        return partial(self._sums, blocks)

    def _sums(self, blocks: slice, rows: Tensor) -> Tensor:
        values = self._positions[blocks][rows]
        precise = torch.float32 if values.device.type == "mps" else torch.float64
        return member_sums(values.to(precise).abs(), self._pattern).nan_to_num_()
