"""SpRe: a second branch for convolutions, where unstructured pruning would keep more weights.

Zhang et al., "Spatial Re-parameterization for N:M Sparsity", IEEE TPAMI 47(9), 2025
(arXiv 2306.05612). N:M gives all positions of a kernel the same density, and unstructured pruning
does not. A convolution with a kernel of several positions, whose output goes to a BatchNorm and
nowhere else, gets a second weight V and a second BatchNorm while it trains:

    y = BN₁(conv(x, b ⊙ W)) + BN₂(conv(x, V ⊙ b ⊙ S))

with b = top-N |w| as in SR-STE. S holds, before every step anew, the positions at which
unstructured pruning of W to the same density, of the whole layer at once, would cut less than N:M
does. Gradients: of W as in SR-STE, of the first branch alone; of V ordinary.

In the end the branch is folded away. With tᵢ = γᵢ / √(σᵢ² + ε): W ← b ⊙ W + (t₂ / t₁) V ⊙ b ⊙ S and
β₁ ← β₁ + β₂ − μ₂ t₂. The released code drops the BatchNorms instead and gives the convolutions
biases; here the network keeps its architecture. Where t₁ is 0, or small beside t₂, t₂ takes its
place and γ₁ and β₁ change accordingly, so nothing is divided by zero.

All else is SR-STE: Linear, kernels of one position, convolutions without such a BatchNorm, and
attention; a network with nothing but these trains as SR-STE does. In the paper's recipe weight
decay acts on the parameters of BatchNorm too; this program exempts them, those of BN₂ as all
others. Different from the released code: weights that are exactly zero inside the pattern are not
masked in the second branch, and kernels of every size have one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.layer_picture import LayerPicture
from lbc.sparsity.live_sets import is_plain
from lbc.sparsity.method_options import Form
from lbc.sparsity.methods.sr_ste import OwnPullLayer
from lbc.sparsity.norm_trace import Norm, following_norms
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.weight_sites import CONVOLUTIONS

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

SMALLEST_SHARE = 1e-3
"""t₁ / t₂ below which folding would lose precision."""


class SpReLayer(OwnPullLayer):
    """SR-STE, and V, BN₂ and S where the kernel has several positions."""

    positions: Tensor

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        self.second: nn.Parameter | None = None
        self.norm: nn.Module | None = None
        self._pair: tuple[Any, Norm] | None = None
        self._handles: list[RemovableHandle] = []
        self._branch: Tensor | None = None
        self._bound = 0.0
        if weight[0, 0].numel() > 1:
            values = torch.empty_like(weight, requires_grad=False)
            nn.init.kaiming_uniform_(values, a=5**0.5)  # as torch's own convolutions
            self.second = nn.Parameter(values)
            self.norm = NORMS[weight.ndim - 3](len(weight), device=weight.device)
            self.register_buffer("positions", torch.zeros_like(weight[:1, :1]))

    @property
    def linked(self) -> bool:
        """Whether the branch is part of the network."""
        return self._pair is not None

    def link(self, convolution: Any, norm: Norm | None) -> None:
        """Add the branch to the output of ``norm``; without one, freeze it."""
        self.unlink()
        if norm is None or self.norm is None or self.second is None:
            return
        self._pair = convolution, norm
        self._handles = [
            convolution.register_forward_hook(self._enter, with_kwargs=True),
            norm.register_forward_hook(self._join),
        ]
        for parameter in (self.second, *self.norm.parameters()):
            parameter.requires_grad_(True)

    def unlink(self) -> None:
        """Remove the branch from the network, and freeze it."""
        for handle in self._handles:
            handle.remove()
        self._handles, self._pair, self._branch = [], None, None
        if self.norm is not None and self.second is not None:
            for parameter in (self.second, *self.norm.parameters()):
                parameter.requires_grad_(False)
                parameter.grad = None

    def release(self, module: nn.Module, /) -> None:
        if self.linked:
            self.fold()

    @torch.no_grad()
    def choose_positions(self) -> None:
        """Take S of the present weights."""
        sizes = self.seen.abs()
        m, cut = self.pattern.m, self.pattern.m - self.pattern.n
        self._bound = _kth_smallest(sizes, sizes.numel() // m * cut, self._bound)
        pruned = (sizes <= self._bound).view(torch.uint8).flatten(0, 1).sum(0, dtype=torch.int64)
        self.positions[0, 0] = pruned * m < sizes.shape[0] * sizes.shape[1] * cut

    @torch.no_grad()
    def fold(self) -> None:
        """Let the first branch compute what both do, with running statistics, and unlink."""
        assert self._pair is not None and self.norm is not None and self.second is not None
        convolution, norm = self._pair
        weight = convolution.parametrizations.weight.original
        scale, shift, deviation = _affine(norm)
        scale2, shift2, _ = _affine(cast("Norm", self.norm))
        least = SMALLEST_SHARE * scale2.abs()
        chosen = torch.where(scale.abs() > least, scale, scale2)
        chosen = torch.where(chosen == 0, 1.0, chosen)
        kept = self.largest(weight)
        outwards = (-1, *[1] * (weight.ndim - 1))
        both = (scale / chosen).view(outwards) * weight
        both += (scale2 / chosen).view(outwards) * self.second * self.positions
        bias = 0.0 if convolution.bias is None else convolution.bias
        moved = (chosen - scale) * bias
        mean: Any = norm.running_mean
        weight.copy_(both * kept)
        norm.weight.copy_(chosen * deviation)
        norm.bias.copy_(shift + shift2 - moved + chosen * mean)
        self.unlink()

    def pictures(self) -> dict[str, LayerPicture]:
        """Where the second branch has weights."""
        if not self.linked:
            return {}
        return {"second branch": LayerPicture(self.largest(self.seen) * self.positions)}

    def __deepcopy__(self, memo: dict[int, Any]) -> SparseLayer:
        self._branch = None  # of a forward pass that did not reach BatchNorm
        return super().__deepcopy__(memo)

    def _enter(self, module: Any, args: Any, kwargs: Any, _output: Tensor) -> None:
        images = args[0] if args else kwargs["input"]
        weight = module.parametrizations.weight.original
        mask = self.mask if is_plain(weight) else self.largest(weight.detach())
        assert self.second is not None
        self._branch = module._conv_forward(images, self.second * (mask * self.positions), None)

    def _join(self, _module: nn.Module, _args: Any, output: Tensor) -> Tensor:
        branch, self._branch = self._branch, None
        assert self.norm is not None
        return output if branch is None else output + self.norm(branch)


def _kth_smallest(sizes: Tensor, k: int, guess: float) -> float:
    """The k-th smallest size; a guess within 2 % saves most of the time."""
    if not sizes.is_cpu or sizes.dtype not in (torch.float32, torch.float64):
        return float(sizes.flatten().kthvalue(k).values)
    flat = sizes.numpy().ravel("K")  # NumPy selects several times as fast as torch
    below = int(np.count_nonzero(flat < 0.98 * guess))
    near = flat[(flat >= 0.98 * guess) & (flat <= 1.02 * guess)]
    if below < k <= below + len(near):
        flat, k = near, k - below
    return float(np.partition(flat, k - 1)[k - 1])


def _affine(norm: Norm) -> tuple[Tensor, Tensor, Tensor]:
    """t, β − μ t and √(σ² + ε) of a BatchNorm in evaluation, in double precision."""
    mean, variance = cast("tuple[Tensor, Tensor]", (norm.running_mean, norm.running_var))
    deviation = (variance.double() + norm.eps).sqrt()
    scale = norm.weight.double() / deviation
    return scale, norm.bias.double() - mean.double() * scale, deviation


class SpRe(Conductor):
    """Links the branches, chooses their positions, and folds them."""

    def __init__(self, run: Run) -> None:
        self._layers = cast("Mapping[str, SpReLayer]", run.layers)
        self._folded = False
        convolutions = {
            name: module
            for name, module in run.modules.items()
            if isinstance(module, CONVOLUTIONS) and self._layers[name].second is not None
        }
        norms = following_norms(run.model, convolutions, run.batches)
        for name, layer in self._layers.items():
            layer.link(run.modules[name], norms.get(name))
        self._branched = self._linked()

    def before_step(self, step: int) -> None:
        for layer in self._linked():
            layer.choose_positions()

    def decide(self) -> None:
        for layer in self._linked():
            layer.fold()
        self._folded = True

    def state(self) -> dict[str, Tensor]:
        return {"folded": torch.tensor(self._folded)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._folded = bool(state["folded"])
        if self._folded:
            self.close()

    def numbers(self) -> dict[str, float]:
        """The share of kernel positions that the second branches have, of the last step."""
        found = [layer.positions.mean() for layer in self._branched]
        return {"kernel positions, branch 2": float(torch.stack(found).mean())} if found else {}

    def close(self) -> None:
        for layer in self._layers.values():
            layer.unlink()

    def _linked(self) -> list[SpReLayer]:
        return [layer for layer in self._layers.values() if layer.linked]


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer with the second branch, where its kernel has several positions."""
    return SpReLayer(name, weight, pattern)


conduct = SpRe
