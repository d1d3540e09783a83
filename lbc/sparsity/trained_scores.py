"""The two forms of trained scores: one accumulator per weight, or one score per combination."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lbc.sparsity.additive_layer import AdditiveLayer
from lbc.sparsity.live_sets import unpack
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import HALF, SparseLayer, incidence, whole


class PerWeight(AdditiveLayer):
    """One accumulator β per weight; the score of a combination is the sum of its members'.

    Exact under SGD with any momentum, Nesterov and weight decay: those recurrences are linear and
    ∂L/∂s_c is a sum over positions, so s_c(t) = Σ_{j∈c} β_j(t) where β has the gradient
    W ⊙ ∂L/∂W̃ and starts at 1 / (N · C(M−1, N−1)).
    """

    form = "per_weight"

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        start = pattern.initial_score / pattern.n
        self.beta = nn.Parameter(torch.full_like(weight, start, dtype=score_dtype(weight)))

    def score_parameter(self) -> nn.Parameter:
        return self.beta

    def stored_scores(self) -> tuple[Tensor, bool]:
        return whole(self.beta.detach()), True

    def forward(self, weight: Tensor) -> Tensor:
        if not self.searching:
            return with_ddp(self, self.under_fixed_mask(weight))
        # Bytes, which torch turns into numbers faster than it does bools.
        mask = self.mask.view(torch.uint8)
        product: Tensor = _PerWeightMask.apply(weight, self.beta, mask)  # type: ignore[no-untyped-call]
        return product


class PerCombination(SparseLayer):
    """One score per combination and block, as published: right for every optimiser.

    Costs C / M times the weight; ``all_scores`` starts at 1 / C(M−1, N−1).
    """

    form = "per_combination"

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        shape = (self.blocks, pattern.count)
        start = weight.new_full(shape, pattern.initial_score, dtype=score_dtype(weight))
        self.all_scores = nn.Parameter(start)
        self._holding = incidence(pattern, start.device, start.dtype)

    def score_parameter(self) -> nn.Parameter:
        return self.all_scores

    def position_scores(self) -> Tensor:
        live = self.live().to(self.all_scores.dtype)
        holding = incidence(self.pattern, live.device, live.dtype)
        total = (whole(self.all_scores.detach()) * live) @ holding
        return total / (live @ holding).clamp_min(1)

    def stored_scores(self) -> tuple[Tensor, bool]:
        return whole(self.all_scores.detach()), False

    def block_scores(self, rows: slice | Tensor) -> Tensor:
        return whole(self.all_scores.detach())[rows].clone()

    def forget_removed(self, state: dict[str, Any], /) -> None:
        for value in state.values():
            if isinstance(value, Tensor) and value.shape == self.all_scores.shape:
                value.mul_(_divided_like(value, self.live()))

    def forward(self, weight: Tensor) -> Tensor:
        if not self.searching:
            return with_ddp(self, self.under_fixed_mask(weight))
        # β(s) with ∂L/∂s_c = Σ_{j∈c} ∂L/∂β_j; its value is never used.
        bits = None if self.live_sets.complete else self.live_sets.bits
        holding, scores = self._holding, self.all_scores
        if holding.device != scores.device or holding.dtype != scores.dtype:
            holding = self._holding = incidence(self.pattern, scores.device, scores.dtype)
        spread: Tensor = _Spread.apply(scores, holding, bits)  # type: ignore[no-untyped-call]
        out, width, *kernel = self.shape
        beta = spread.reshape(out, *kernel, width).movedim(-1, 1)
        mask = self.mask.view(torch.uint8)
        product: Tensor = _PerWeightMask.apply(weight, beta, mask)  # type: ignore[no-untyped-call]
        return product


class _PerWeightMask(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, beta: Tensor, mask: Tensor) -> Tensor:
        return weight * mask

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, beta, mask = inputs
        ctx.save_for_backward(output, mask)
        ctx.dtype = beta.dtype

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        product, mask = ctx.saved_tensors
        return grad * mask, (product * grad).to(ctx.dtype), None


class _Spread(torch.autograd.Function):
    """Scores (blocks, C) → zeros (blocks, M), with the gradient of Σ_{c∋j} s_c for live c."""

    generate_vmap_rule = True

    @staticmethod
    def forward(scores: Tensor, holding: Tensor, bits: Tensor | None) -> Tensor:
        return scores.new_zeros(()).expand(len(scores), holding.shape[1])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, holding, bits = inputs
        ctx.save_for_backward(holding, bits)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        holding, bits = ctx.saved_tensors
        by_score = grad @ holding.T
        if bits is not None:
            by_score.mul_(unpack(bits, len(holding)))
        return by_score, None, None


class _NoGradient(torch.autograd.Function):
    """The first tensor; the second takes part, but receives no gradient."""

    @staticmethod
    def forward(product: Tensor, scores: Tensor) -> Tensor:
        return product.view_as(product)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


def _divided_like(divided: Tensor, tensor: Tensor) -> Tensor:
    """The tensor, divided among processes as another is by fully_shard."""
    mesh = getattr(divided, "device_mesh", None)
    if mesh is None:
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, mesh, divided.placements)  # type: ignore[attr-defined]


def with_ddp(layer: SparseLayer, product: Tensor) -> Tensor:
    """The product; if DDP waits for the frozen scores of the layer, they take part in it.

    DDP learns at construction which parameters have gradients, and scores that freeze later would
    end training with an error. A DDP constructed afterwards does not wait for them.
    """
    if torch.compiler.is_compiling() or not torch.is_grad_enabled():
        return product
    if getattr(DistributedDataParallel, "_active_ddp_module", None) not in layer.awaited_by:
        return product
    scores = layer.score_parameter().requires_grad_(True)
    linked: Tensor = _NoGradient.apply(product, scores)  # type: ignore[no-untyped-call]
    return linked


def score_dtype(weight: Tensor) -> torch.dtype:
    return torch.float32 if weight.dtype in HALF else weight.dtype
