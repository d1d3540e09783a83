"""Bi-Mask: N:M along the inputs in the forward pass, and along the outputs in the backward pass.

Zhang et al., "Bi-directional Masks for Efficient N:M Sparse Training", ICML 2023.
Forward W̃ = b ⊙ W with b = top-N |w| of every M inputs, as SR-STE. The gradient of the input is
computed with W ⊙ b′: under an order π of the output rows, b′ ⊆ b keeps the N largest |b ⊙ W| of
every M outputs at each input and kernel position, so the product with its transpose is N:M too.
∂L/∂W is the dense product, straight through, with SR-STE's pull λ (1 − b) ⊙ W.

Every ``interval`` steps ``draws`` random orders are compared by how many weights b′ would keep; the
best becomes π. As in the released code neither the present order nor that of the rows themselves
is a candidate; with 0 draws π is that of the rows.

Different from the released code: blocks lie along input channels at one kernel position, as
everywhere in this program; π depends on seed, step and layer alone, is the same on all ranks and
is part of the model's state; the search takes place between steps, never in evaluation; bias,
groups, dilation and paddings are those of the module. In a grouped convolution rows change places
within their group. Where the outputs (of a group) are not a multiple of M, and in modules other
than Linear and convolutions (attention, transposed convolutions, transformers' Conv1D), b′ = b.
Nothing is faster than dense training here: torch has no sparse kernels for these products.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from lbc.sparsity.backward_product import product_groups, replace_product, restore_product
from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.layer_picture import LayerPicture
from lbc.sparsity.method_options import Form
from lbc.sparsity.methods.sr_ste import OwnPullLayer
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer


class BiMaskLayer(OwnPullLayer):
    """SR-STE with a backward mask; ``order`` holds π, the rows of the weight one after another."""

    order: Tensor
    groups = 0
    """Groups of the module's product, within which rows change places; 0 where b′ = b."""

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        self.register_buffer("order", torch.arange(len(weight), device=weight.device))

    def replace_product(self, module: nn.Module) -> None:
        """Let the module compute the gradient of its input with ``backward_weight``."""
        groups = product_groups(module, self)
        if groups and not self.shape[0] // groups % self.pattern.m:
            self.groups = groups
            replace_product(module)

    def release(self, module: nn.Module, /) -> None:
        self.groups = 0
        restore_product(module)

    @torch.no_grad()
    def backward_weight(self, masked: Tensor) -> Tensor:
        """W ⊙ b′ of W ⊙ b."""
        ordered = masked.index_select(0, self.order)
        blocks = ordered.reshape(-1, self.pattern.m, masked[0].numel())
        kept = largest_along(blocks.abs(), self.pattern.n)
        blocks = blocks * kept.view(torch.uint8)  # which torch multiplies faster than bools
        return torch.empty_like(masked).index_copy_(0, self.order, blocks.view_as(ordered))

    @torch.no_grad()
    def search(self, generator: torch.Generator, draws: int) -> None:
        """Take the order, of ``draws`` random ones, under which b′ keeps most weights."""
        mask = self.largest(self.seen).view(torch.uint8).flatten(1)
        width, most = len(mask) // self.groups, -1
        for _ in range(draws):
            within = [torch.randperm(width, generator=generator) for _ in range(self.groups)]
            drawn = torch.cat([rows + width * group for group, rows in enumerate(within)])
            count = self.kept_by(mask, drawn.to(mask.device))
            if count > most:
                most = count
                self.order.copy_(drawn)

    def kept_by(self, mask: Tensor, order: Tensor) -> int:
        """|b′| under an order of the rows of b, bytes (O, I · kernel)."""
        counts = mask.index_select(0, order).view(-1, self.pattern.m, mask.shape[1])
        held = counts.sum(dim=1, dtype=torch.uint8 if self.pattern.m < 256 else torch.int32)
        return int(held.clamp_(max=self.pattern.n).sum())

    def pictures(self) -> dict[str, LayerPicture]:
        """The backward mask; which outputs share a block of it; and what blocks keep of b under π,
        and would keep under the order of the rows."""
        mask = self.largest(self.seen)
        if not self.groups:
            return {"backward mask": LayerPicture(mask)}
        along = (len(mask), *(1 for _ in mask.shape[1:]))
        blocks = LayerPicture(
            (self.order.argsort() // self.pattern.m).view(along),
            0,
            len(mask) // self.pattern.m - 1,
            "Outputs of the same number share a block of the backward mask.",
        )
        shown = {
            "backward mask": LayerPicture(self.backward_weight(self.seen * mask) != 0),
            "backward block": blocks,
        }
        orders = {"kept by b′": self.order, "kept in row order": torch.arange(len(mask))}
        shares = {label: self._shares(mask, order) for label, order in orders.items()}
        every = torch.cat([values for values, _ in shares.values()])
        for (label, (values, whole)), what in zip(
            shares.items(), ("keeps", "would keep in the outputs' own order"), strict=True
        ):
            caption = (
                f"Share of the mask of a block of {self.pattern.m} outputs that the backward mask "
                f"{what}, {whole:.2%} of the layer's."
            )
            low, high = every.min().item(), every.max().item()
            shown[label] = LayerPicture(values.view(along), low, high, caption)
        return shown

    def _shares(self, mask: Tensor, order: Tensor) -> tuple[Tensor, float]:
        """What b′ keeps of b under an order of the rows: of each row's block, (O,), and of all."""
        order = order.to(mask.device)
        held = mask.index_select(0, order).view(-1, self.pattern.m, mask[0].numel()).sum(dim=1)
        kept, whole = held.clamp(max=self.pattern.n).sum(dim=1), held.sum(dim=1)
        of_blocks = kept / whole.clamp_min(1)
        return of_blocks[order.argsort() // self.pattern.m], float(kept.sum() / whole.sum())


def largest_along(sizes: Tensor, n: int) -> Tensor:
    """The n largest of each block, earlier ones among equals: (blocks, M, width) → bool alike."""
    planes = sizes.unbind(1)
    places = torch.zeros_like(sizes, dtype=torch.uint8 if len(planes) < 256 else torch.int32)
    ahead = places.unbind(1)
    for i, one in enumerate(planes):
        for j in range(i + 1, len(planes)):
            wins = one >= planes[j]
            ahead[j].add_(wins)
            ahead[i].add_(wins.logical_not_())
    return places < n


class BiMask(Conductor):
    """Replaces the products, and searches for orders of the rows."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._layers = cast("Mapping[str, BiMaskLayer]", run.layers)
        for name, layer in self._layers.items():
            layer.replace_product(run.modules[name])

    def before_step(self, step: int) -> None:
        interval, draws = self._option("interval"), self._option("draws")
        if draws and (step - 1) % interval == 0:
            for index, layer in enumerate(self._layers.values()):
                if layer.groups:
                    layer.search(self._run.generator(step, index), draws)

    def numbers(self) -> dict[str, float]:
        """|b′| / |b| of all layers together."""
        kept = total = 0
        for layer in self._layers.values():
            mask = layer.largest(layer.seen).view(torch.uint8).flatten(1)
            held = layer.blocks * layer.pattern.n
            kept += layer.kept_by(mask, layer.order) if layer.groups else held
            total += held
        return {"|b′| / |b|": kept / total}

    def close(self) -> None:
        for name, layer in self._layers.items():
            layer.release(self._run.modules[name])

    def _option(self, key: str) -> int:
        value: Any = getattr(self._run.options, key)
        return int(value)


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer with a mask for each direction."""
    return BiMaskLayer(name, weight, pattern)


conduct = BiMask
