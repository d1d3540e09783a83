"""Scores of combinations, attached to one weight through torch's parametrizations.

Both forms give b ⊙ W forward, ∂L/∂W = b ⊙ ∂L/∂W̃ backward and ∂L/∂s_c = Σ_{j∈c} W_j ∂L/∂W̃_j for
every live combination c (Zhang et al., NeurIPS 2022); they differ in what is stored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from math import prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lbc.sparsity.live_sets import keep_best, only_live, pack, unpack
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule

Form = Literal["per_weight", "per_combination"]

CHUNK_CELLS = 1 << 18
"""Scores written out at a time while combinations are removed: 1 MiB, which a cache holds."""


@lru_cache(maxsize=64)
def _incidence(pattern: Pattern, device: torch.device, dtype: torch.dtype) -> Tensor:
    return pattern.incidence(device).to(dtype)


@lru_cache(maxsize=64)
def _beginnings(pattern: Pattern, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """How combinations grow from their beginnings, the first k + 1 positions of each, for every k.

    Each beginning is one of k positions, told by its number, and one position more. Combinations
    in lexicographic order with the same beginning are neighbours, so it is summed once for all.
    """
    members = pattern.members
    parents = torch.zeros(len(members), dtype=torch.int64)
    grown = []
    for k in range(pattern.n):
        changes = (members[1:, : k + 1] != members[:-1, : k + 1]).any(dim=1)
        first = torch.cat([changes.new_ones(1), changes])
        grown.append((parents[first].to(device), members[first, k].to(device)))
        parents = first.cumsum(0) - 1
    return grown


class SparseLayer(nn.Module):
    """One weight under an N:M pattern: its mask, its live set and its scores.

    ``mask`` is a bool buffer shaped like the weight. ``packed`` holds the live bits; while
    nothing has been removed one row of it stands for all blocks, so that a pattern with thousands
    of combinations costs nothing before its first removal.
    """

    mask: Tensor
    packed: Tensor

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__()
        self.name = name
        self.pattern = pattern
        self.shape = tuple(weight.shape)
        self.blocks = weight.numel() // pattern.m
        everything = torch.ones((1, pattern.count), dtype=torch.bool, device=weight.device)
        self.register_buffer("packed", pack(everything))
        self.register_buffer("mask", torch.ones_like(weight, dtype=torch.bool))
        self._counted: tuple[Tensor, int] | None = None
        self._numbers: tuple[Tensor, int, Tensor] | None = None

    def score_parameter(self) -> nn.Parameter:
        """The trained tensor behind the scores."""
        raise NotImplementedError

    def score_parameters(self) -> tuple[nn.Parameter, ...]:
        """The trained tensors behind the scores: none where scores are not trained."""
        return (self.score_parameter(),)

    def wanted(self, schedule: Schedule, epoch: float, /) -> int:
        """How many combinations of every block are to live at ``epoch``."""
        return schedule.live(self.pattern, epoch)

    @property
    def searching(self) -> bool:
        """Whether the mask may still change."""
        return self.live_count > 1

    def block_scores(self, rows: slice | Tensor) -> Tensor:
        """Scores of some blocks, removed combinations included: (rows, C)."""
        raise NotImplementedError

    def position_scores(self) -> Tensor:
        """What each position adds to the scores of its combinations: (blocks, M)."""
        raise NotImplementedError

    def stored_scores(self) -> tuple[Tensor, bool]:
        """The scores as they are kept, not to be changed: (blocks, C), or, where the flag is True,
        what each position adds, shaped like the weight."""
        raise NotImplementedError

    @property
    def live_count(self) -> int:
        """The most combinations that a block has left; interventions may leave others fewer."""
        if self._counted is None or self._counted[0] is not self.packed:
            # Counted once for every live set there is: methods ask in every step.
            self._counted = self.packed, int(self.live_counts().max())
        return self._counted[1]

    @torch.no_grad()
    def live_counts(self) -> Tensor:
        """How many combinations each block has left: int32 (blocks,), or (1,) for all of them."""
        counts = [
            unpack(self.packed[rows], self.pattern.count)
            .view(torch.uint8)
            .sum(1, dtype=torch.int32)
            for rows in self._chunks()
            if rows.start < len(self.packed)
        ]
        return torch.cat(counts)

    @property
    def density(self) -> float:
        """Share of this layer's weights that the mask keeps."""
        return float(self.mask.sum()) / self.mask.numel()

    @torch.no_grad()
    def live(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """The live set: bool (rows, C)."""
        if len(self.packed) == self.blocks:
            return unpack(self.packed[rows], self.pattern.count)
        size = len(torch.arange(self.blocks)[rows])
        return unpack(self.packed, self.pattern.count).expand(size, -1)

    @torch.no_grad()
    def scores(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """Scores with −inf where removed: (rows, C)."""
        return self._without_removed(self.block_scores(rows), rows)

    @torch.no_grad()
    def winners(self) -> Tensor:
        """The best live combination of every block, the earliest among equals: int64 (blocks,)."""
        return torch.cat([scores.argmax(dim=1) for _, scores in self._all_scores()])

    @torch.no_grad()
    def remove(self, live: int, /) -> None:
        """Keep the ``live`` best combinations of every block; what is removed stays removed.

        With one left the scores freeze. Nothing happens where no more than ``live`` are left.
        """
        self.take(*self.choose(live))

    @torch.no_grad()
    def choose(
        self, live: int, /, scored: Callable[[int], object] = lambda _: None
    ) -> tuple[Tensor, Tensor]:
        """Live bits and mask as ``remove`` would leave them; the layer stays as it is.

        ``scored`` is told how many candidate scores were compared, chunk by chunk.
        """
        if live >= self.live_count:
            return self.packed, self.mask
        packed = self.packed.new_empty((self.blocks, self.packed.shape[1]))
        kept = self.mask.new_empty((self.blocks, self.pattern.m))
        incidence = _incidence(self.pattern, self.mask.device, torch.float32)
        for rows, scores in self._all_scores():
            chunk = keep_best(scores, live)
            packed[rows] = pack(chunk)
            kept[rows] = chunk.float() @ incidence > 0
            scored(chunk.numel())
        return packed, self.pattern.from_blocks(kept, self.shape)

    def settle(self) -> None:
        """Bring the live bits in line with the mask, where forward passes choose it anew."""

    def take(self, packed: Tensor, mask: Tensor, /) -> None:
        """Make what ``choose`` gave the layer's own."""
        self.packed, self.mask = packed, mask
        self._freeze_when_decided()

    @torch.no_grad()
    def restrict(self, allowed: Tensor, block: int | None = None, /) -> None:
        """Remove, in one block or in all, what is not in ``allowed``, bool (C,), for good.

        In every such block something allowed must be live.
        """
        rows = slice(None) if block is None else slice(block, block + 1)
        packed = self.packed.expand(self.blocks, -1).clone()
        packed[rows] &= pack(allowed[None].to(packed.device))
        self.packed = packed
        kept = self.pattern.to_blocks(self.mask).clone()
        incidence = _incidence(self.pattern, self.mask.device, torch.float32)
        for some in self._chunks() if block is None else (rows,):
            kept[some] = self.live(some).float() @ incidence > 0
        self.mask = self.pattern.from_blocks(kept, self.shape)
        self._freeze_when_decided()

    def under_fixed_mask(self, weight: Tensor) -> Tensor:
        """b ⊙ W, for steps in which the mask is what it was.

        A product: filling where the mask is false branches at each weight, and a processor cannot
        foretell those branches. There the mask is kept as numbers, besides, so that no product has
        to make them: 4 bytes a weight, of the 8 that scores and momentum took while searching.
        """
        if not weight.is_cpu or torch.compiler.is_compiling():
            return weight * self.mask
        mask, version, numbers = self._numbers or (None, 0, weight)
        if mask is not self.mask or version != mask._version or numbers.dtype != weight.dtype:
            numbers = torch.empty_like(weight, requires_grad=False).copy_(self.mask)
            self._numbers = self.mask, self.mask._version, numbers
        return weight * numbers

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Assigning to the module's weight assigns the dense weight below the mask."""
        return weight

    def _all_scores(self) -> Iterator[tuple[slice, Tensor]]:
        """``scores`` of all blocks, some at a time."""
        for rows in self._chunks():
            yield rows, self.scores(rows)

    def _without_removed(self, scores: Tensor, rows: slice | Tensor) -> Tensor:
        if len(self.packed) < self.blocks:
            return scores  # nothing has been removed
        return only_live(scores, self.packed[rows])

    def _chunks(self) -> Iterator[slice]:
        size = max(1, CHUNK_CELLS // self.pattern.count)
        for first in range(0, self.blocks, size):
            yield slice(first, min(first + size, self.blocks))

    def _freeze_when_decided(self) -> None:
        for scores in self.score_parameters():
            scores.requires_grad_(self.live_count > 1)
            if self.live_count == 1:
                scores.grad = None

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        stored = state_dict.get(prefix + "packed")
        if isinstance(stored, Tensor) and stored.shape[0] in (1, self.blocks):
            self.packed = self.packed.new_empty((len(stored), self.packed.shape[1]))
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
        self._freeze_when_decided()


class AdditiveLayer(SparseLayer):
    """Scores that are sums over positions: ``stored_scores`` says it all."""

    def position_scores(self) -> Tensor:
        return self.pattern.to_blocks(self.stored_scores()[0])

    def block_scores(self, rows: slice | Tensor) -> Tensor:
        return self._sums(self.position_scores()[rows])

    def _sums(self, positions: Tensor) -> Tensor:
        """What its positions add up to, for every combination: (rows, M) → (rows, C)."""
        # Added in ascending order of position, never by a matrix product: equal accumulators must
        # give equal scores to the last bit on every device, or ties would not be ties.
        (_, first), *rest = _beginnings(self.pattern, positions.device)
        total = positions.index_select(1, first)
        for parents, position in rest:
            total = total.index_select(1, parents)
            total += positions.index_select(1, position)
        return total

    def _all_scores(self) -> Iterator[tuple[slice, Tensor]]:
        positions = self.position_scores()  # for a convolution a copy, so once
        for rows in self._chunks():
            yield rows, self._without_removed(self._sums(positions[rows]), rows)


class PerWeight(AdditiveLayer):
    """One accumulator β per weight; the score of a combination is the sum of its members'.

    Exact under SGD with any momentum, Nesterov and weight decay: those recurrences are linear and
    ∂L/∂s_c is a sum over positions, so s_c(t) = Σ_{j∈c} β_j(t) where β has the gradient
    W ⊙ ∂L/∂W̃ and starts at 1 / (N · C(M−1, N−1)).
    """

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        start = pattern.initial_score / pattern.n
        self.beta = nn.Parameter(torch.full_like(weight, start, dtype=_score_dtype(weight)))

    def score_parameter(self) -> nn.Parameter:
        return self.beta

    def stored_scores(self) -> tuple[Tensor, bool]:
        return self.beta.detach(), True

    def forward(self, weight: Tensor) -> Tensor:
        if not self.beta.requires_grad:
            return self.under_fixed_mask(weight)
        # Bytes, which torch turns into numbers faster than it does bools.
        mask = self.mask.view(torch.uint8)
        product: Tensor = _PerWeightMask.apply(weight, self.beta, mask)  # type: ignore[no-untyped-call]
        return product


class PerCombination(SparseLayer):
    """One score per combination and block, as published: right for every optimiser.

    Costs C / M times the weight; ``scores`` starts at 1 / C(M−1, N−1).
    """

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        shape = (self.blocks, pattern.count)
        start = weight.new_full(shape, pattern.initial_score, dtype=_score_dtype(weight))
        self.all_scores = nn.Parameter(start)

    def score_parameter(self) -> nn.Parameter:
        return self.all_scores

    def position_scores(self) -> Tensor:
        live = self.live().to(self.all_scores.dtype)
        holding = _incidence(self.pattern, live.device, live.dtype)
        total = (self.all_scores.detach() * live) @ holding
        return total / (live @ holding).clamp_min(1)

    def stored_scores(self) -> tuple[Tensor, bool]:
        return self.all_scores.detach(), False

    def block_scores(self, rows: slice | Tensor) -> Tensor:
        return self.all_scores.detach()[rows].clone()

    def forward(self, weight: Tensor) -> Tensor:
        if not self.all_scores.requires_grad:
            return self.under_fixed_mask(weight)
        product: Tensor = _PerCombinationMask.apply(weight, self.all_scores, self)  # type: ignore[no-untyped-call]
        return product


class _PerWeightMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, beta: Tensor, mask: Tensor) -> Tensor:
        product = weight * mask
        ctx.save_for_backward(product, mask)
        ctx.dtype = beta.dtype
        return product

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        product, mask = ctx.saved_tensors
        return grad * mask, (product * grad).to(ctx.dtype), None


class _PerCombinationMask(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, scores: Tensor, layer: PerCombination) -> Tensor:
        ctx.save_for_backward(weight, layer.mask)
        ctx.layer, ctx.dtype = layer, scores.dtype
        return weight * layer.mask

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        weight, mask = ctx.saved_tensors
        layer: PerCombination = ctx.layer
        kept = grad * mask
        by_position = layer.pattern.to_blocks((weight * kept).to(ctx.dtype))
        by_score = by_position @ _incidence(layer.pattern, grad.device, ctx.dtype).T
        if len(layer.packed) == layer.blocks:
            by_score.mul_(layer.live())
        return kept, by_score, None


def _score_dtype(weight: Tensor) -> torch.dtype:
    return torch.float32 if weight.dtype in (torch.float16, torch.bfloat16) else weight.dtype


def score_memory(shape: tuple[int, ...], pattern: Pattern, form: Form, copies: int) -> int:
    """Bytes that scores, gradients and optimiser state of one layer take in float32.

    ``copies`` counts the float tensors as large as the scores: the scores, their gradient and the
    optimiser's moments (3 for SGD with momentum, 4 for Adam). Live bits and the byte mask are in.
    """
    weights = prod(shape)
    cells = weights if form == "per_weight" else weights // pattern.m * pattern.count
    return 4 * cells * copies + live_memory(shape, pattern) + weights


def live_memory(shape: tuple[int, ...], pattern: Pattern) -> int:
    """Bytes of one layer's live bits, once something has been removed."""
    return prod(shape) // pattern.m * -(-pattern.count // 8)
