"""MaskLLM: a distribution over the combinations of every block, learned; the weights stay as they
are.

Fang et al., "MaskLLM: Learnable Semi-Structured Sparsity for Large Language Models", NeurIPS 2024.
Every block has logits π, one for each combination, and of a trained network nothing else is
trained. In a step, with Gumbel noise G = −log E, E ~ Exp(1), and the incidence A (C, M),

    s = softmax((κ π + G) / τ),    m = s A,    W̃ = m ⊙ W,

or with the option ``hard`` the one-hot of the largest s in the forward pass, straight through. The
loss is L − λ (1 − t/T) Σ (m ⊙ W)², a sum over all sparse layers, so that λ depends on the model's
size. π has the gradient of plain autograd. κ and τ are linear in t/T, where T is ``schedule.end``:
then the combination with the largest π wins, which is also what is tested until then. If training
continues after it, the weights are trained under the fixed mask.

At first π ~ N(0, σ₀), plus α · std(π) · (⟨A_c, prior⟩ − 1); the prior is the mask of magnitude,
Wanda or SparseGPT.

The released code knows 2:4 and 1:4 only. That for vision transformers adds the prior once for each
parameter of a layer, with a spread that has grown, and moves κ and τ once an epoch; here both are
as in the code for language models, and so is the factor of the learning rate, without which logits
hardly move at rates made for weights. A training loop of your own has to apply ``lr_scale``, which
the optimiser's groups hold.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor, nn

from lbc.sparsity.attachment import attached_layers
from lbc.sparsity.calibration import sparsegpt, wanda
from lbc.sparsity.calibration.one_shot import prune_in_order
from lbc.sparsity.calibration.solution import Solver
from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.largest import largest
from lbc.sparsity.layer_picture import LayerPicture
from lbc.sparsity.live_sets import LiveSets, is_plain
from lbc.sparsity.method_options import Form
from lbc.sparsity.method_options.maskllm import Options
from lbc.sparsity.optimizer_state import forget_removed
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer, incidence, whole
from lbc.sparsity.trained_scores import score_dtype, with_ddp

SOLVERS: dict[str, Solver] = {"wanda": wanda.solve, "sparsegpt": sparsegpt.solve}
"""The priors that calibration images decide."""


class MaskLlmLayer(SparseLayer):
    """W̃ = m ⊙ W with a sampled mask m in training, and the likeliest one in tests, until decided.

    ``logits`` (C, blocks) are π: with C first, torch computes a softmax twenty times faster.
    ``clock`` holds κ and τ, ``noise`` log E of the present step, (C, blocks); without noise, as
    before the first step, W̃ = W. Scores are the probabilities softmax(κ π / τ).
    """

    form = "per_combination"
    clock: Tensor

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        shape = (pattern.count, self.blocks)
        self.logits = nn.Parameter(weight.new_zeros(shape, dtype=score_dtype(weight)))
        self.register_buffer("clock", weight.new_ones(2, dtype=torch.float32))
        self.noise: Tensor | None = None
        self.hard = False
        self.rewarded = False
        self.size: Tensor | None = None
        self._holding = incidence(pattern, self.logits.device, self.logits.dtype)
        self._tested: tuple[int, Tensor] | None = None

    # -- scores ---------------------------------------------------------------------------------

    def score_parameter(self) -> nn.Parameter:
        return self.logits

    def probabilities(self, rows: slice | Tensor = slice(None)) -> Tensor:
        """softmax(κ π / τ) of some blocks, without noise: (C, rows)."""
        logits = whole(self.logits.detach())[:, rows]
        return torch.softmax(logits * (self.clock[0] / self.clock[1]), 0)

    def block_scores(self, rows: slice | Tensor) -> Tensor:
        return self.probabilities(rows).T.contiguous()

    def position_scores(self) -> Tensor:
        return self.probabilities().T @ self.held()

    def stored_scores(self) -> tuple[Tensor, bool]:
        return self.probabilities().T, False

    def pictures(self) -> dict[str, LayerPicture]:
        """The expected mask, and the probability of the likeliest combination where it is."""
        if not self.searching:
            return {}
        shares = self.probabilities()
        expected = self._shaped(shares.T @ self.held())
        best, winners = shares.max(0)
        likeliest = self._shaped(self.held()[winners] * best[:, None])
        shown = {"Expected mask": expected, "Probability of the likeliest": likeliest}
        return {label: LayerPicture(values) for label, values in shown.items()}

    # -- the likeliest combination --------------------------------------------------------------

    def likeliest(self, weight: Tensor) -> Tensor:
        """The mask of the largest logits, shaped like the weight and of its type."""
        if not is_plain(weight):
            return self._likeliest().to(weight.dtype)
        version, mask = self._tested or (-1, weight)
        if version != self.logits._version or mask.dtype != weight.dtype:
            with torch.inference_mode(False), torch.no_grad():
                mask = torch.empty_like(self.mask, dtype=weight.dtype).copy_(self._likeliest())
            self._tested = self.logits._version, mask
        return mask

    def _likeliest(self) -> Tensor:
        return self._shaped(self.held()[whole(self.logits.detach()).argmax(0)])

    @torch.inference_mode(False)
    @torch.no_grad()
    def choose(
        self,
        live: int,
        /,
        scored: Callable[[int], object] = lambda _: None,
        weight: Tensor | None = None,
    ) -> tuple[LiveSets, Tensor]:
        """The largest logits, once one combination is to be left; until then all."""
        return super().choose(1 if live == 1 else self.pattern.count, scored, weight)

    def _all_scores(self) -> Any:
        # Logits, not probabilities, of which two may round to the same number.
        logits = whole(self.logits.detach())
        for rows in self._chunks():
            yield rows, logits[:, rows].T.contiguous()

    # -- computing ------------------------------------------------------------------------------

    def draw(self, generator: torch.Generator) -> None:
        """Draw the noise of a step."""
        if self.noise is None:
            self.noise = torch.empty_like(self.logits, requires_grad=False)
        if self.noise.is_cpu and self.noise.dtype == torch.float32:
            _draw_quickly(self.noise, generator)
            return
        own = torch.Generator(self.noise.device).manual_seed(generator.initial_seed())
        self.noise.uniform_(generator=own).log_().neg_().log_()

    def forward(self, weight: Tensor) -> Tensor:
        if not self.searching:
            return with_ddp(self, self.under_fixed_mask(weight))
        if not self.training:
            return weight * self.likeliest(weight)
        if self.noise is None:
            return weight
        self._holding = self.held()
        with torch.autocast(weight.device.type, enabled=False):
            product, size, _ = _Sampled.apply(  # type: ignore[no-untyped-call]
                weight, self.logits, self.noise, self.clock, self._holding, self.pattern, self.hard
            )
        if self.rewarded and is_plain(weight):
            self.size = size
        return cast(Tensor, product)

    def take_size(self) -> Tensor | None:
        """Σ W̃² of the last sample, with its graph, if large weights are rewarded."""
        size, self.size = self.size, None
        return size

    def held(self) -> Tensor:
        """The incidence A, (C, M), of the type and on the device of the logits."""
        holding = self._holding
        if holding.device != self.logits.device or holding.dtype != self.logits.dtype:
            holding = incidence(self.pattern, self.logits.device, self.logits.dtype)
        return holding

    def _shaped(self, blocks: Tensor) -> Tensor:
        """A view of (blocks, M) in the order of the weight."""
        out, width, *kernel = self.shape
        return blocks.reshape(out, *kernel, width).movedim(-1, 1)

    # -- moving and copying ---------------------------------------------------------------------

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        self.noise = self.size = None  # drawn anew in the next step
        self._tested = None
        return super()._apply(fn, recurse)

    def __deepcopy__(self, memo: dict[int, Any]) -> SparseLayer:
        self.size = None  # torch copies no tensor with a graph
        twin = cast(MaskLlmLayer, super().__deepcopy__(memo))
        twin._tested = None  # versions of its logits are counted anew
        return twin


def _draw_quickly(noise: Tensor, generator: torch.Generator) -> None:
    """log E of uniform numbers of 23 bits; NumPy's logarithm is three times as fast as torch's."""
    whole_words = noise.numel() // 2 * 2
    flat = noise.view(-1)
    flat[:whole_words].view(torch.int64).random_(generator=generator)
    flat[whole_words:].view(torch.int32).random_(generator=generator)
    values = noise.numpy()
    bits = values.view(np.uint32)
    # The mantissas of numbers from 1 to 2. One word of two lacks its highest bit.
    np.bitwise_and(bits, 0x7FFFFF, out=bits)
    np.bitwise_or(bits, 0x3F800000, out=bits)
    values -= 1
    with np.errstate(divide="ignore"):  # of 0, which gives a combination no chance
        np.log(values, out=values)
    np.negative(values, out=values)
    np.log(values, out=values)


class _Sampled(torch.autograd.Function):
    """(W, π) → W̃, Σ W̃², and the shares s (C, blocks), which have no gradient."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        weight: Tensor,
        logits: Tensor,
        noise: Tensor,
        clock: Tensor,
        holding: Tensor,
        pattern: Pattern,
        hard: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        scale, temperature = clock.to(logits.dtype)
        shares = logits * (scale / temperature)
        shares.addcmul_(noise, 1 / temperature, value=-1)
        shares = torch.softmax(shares, 0)
        product = _masked(weight, _mask(shares, holding, hard))
        return product, torch.linalg.vector_norm(product).square(), shares

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        weight, _, _, clock, holding, ctx.pattern, ctx.hard = inputs
        product, _, shares = output
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(shares)
        ctx.save_for_backward(weight, clock, holding, product, shares)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, by_size: Tensor | None, _: None) -> tuple[Any, ...]:
        weight, clock, holding, product, shares = ctx.saved_tensors
        by_weight = by_logit = None
        if grad is None:  # the loss does not depend on this layer
            grad = torch.zeros_like(product)
        if by_size is not None:
            grad = torch.addcmul(grad, product, (2 * by_size).to(grad.dtype))
        if ctx.needs_input_grad[0]:
            by_weight = _masked(grad, _mask(shares, holding, ctx.hard))
        if ctx.needs_input_grad[1]:
            by_position = ctx.pattern.to_blocks(grad * weight).to(holding.dtype)
            by_share = (holding * (clock[0] / clock[1])) @ by_position.T
            by_logit = by_share.sub_((by_share * shares).sum(0)).mul_(shares)
        return by_weight, by_logit, None, None, None, None, None


def _mask(shares: Tensor, holding: Tensor, hard: bool) -> Tensor:
    """m of the shares s, or of their largest: (M, blocks)."""
    return holding.T[:, shares.argmax(0)] if hard else holding.T @ shares


def _masked(weight: Tensor, mask: Tensor) -> Tensor:
    """m ⊙ W of a mask (M, blocks): reading it in the order of the weight saves a copy."""
    m, (out, width, *kernel) = len(mask), weight.shape
    mask = mask.reshape(m, out, *kernel, width // m).movedim(-1, 1).transpose(0, 2)
    parts = weight.reshape(out, width // m, m, *kernel)
    return (parts * mask.to(weight.dtype)).reshape(weight.shape)


class _MaskLlm(Conductor):
    """Freezes the network, moves κ and τ, draws noise and rewards large weights until T."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._options = cast(Options, run.options)
        self._layers = cast("list[MaskLlmLayer]", [*run.layers.values()])
        logits = {id(layer.logits) for layer in self._layers}
        parameters = run.model.parameters()
        self._frozen = [p for p in parameters if p.requires_grad and id(p) not in logits]
        self._share = 0.0
        for layer in self._layers:
            layer.hard, layer.rewarded = self._options.hard, self._options.reward > 0
        if not any(bool(whole(layer.logits.detach()).any()) for layer in self._layers):
            self._begin()
        self._freeze()

    @property
    def _searching(self) -> bool:
        return any(layer.searching for layer in self._layers)

    @torch.no_grad()
    def _begin(self) -> None:
        """The first logits: noise, and the prior."""
        prior = self._prior()
        for index, layer in enumerate(self._layers):
            logits = layer.logits
            drawn = torch.empty(logits.shape, dtype=logits.dtype)
            generator = self._run.generator(0, index)
            logits.copy_(drawn.normal_(0, self._options.deviation, generator=generator))
            if layer.name in prior:
                kept = layer.pattern.to_blocks(prior[layer.name])
                overlap = layer.held() @ kept.T.to(logits.dtype)
                logits.add_(overlap - 1, alpha=self._options.prior_strength * float(logits.std()))
            self._set_clock(layer)

    def _prior(self) -> dict[str, Tensor]:
        """The masks that the first logits favour, (O, I, *kernel), by the names of layers."""
        model, options = self._run.model, self._options
        if options.prior in SOLVERS:
            model = deepcopy(model)
            gram = options.prior != "wanda"
            prune_in_order(model, self._run.batches(options.images), SOLVERS[options.prior], gram)
            return {layer.name: layer.mask for layer in attached_layers(model).values()}
        if options.prior == "none":
            return {}
        masks = {}
        for site, layer in attached_layers(model).items():
            weight = site.canonical(self._run.weights[layer.name].detach())
            masks[layer.name] = largest(weight, layer.pattern)
        return masks

    def _set_clock(self, layer: MaskLlmLayer) -> None:
        layer.clock[0] = self._options.scale(self._share)
        layer.clock[1] = self._options.temperature(self._share)

    def _freeze(self) -> None:
        searching = self._searching
        for parameter in self._frozen:
            parameter.requires_grad_(not searching)
        for group in self._run.optimizer.param_groups if self._run.optimizer else ():
            group["lr_scale"] = self._options.lr_scale if searching else 1.0

    def before_step(self, step: int) -> None:
        self._freeze()
        self._share = self._options.share(self._run.schedule, self._run.epoch(step))
        for index, layer in enumerate(self._layers):
            if layer.searching:
                self._set_clock(layer)
                layer.draw(self._run.generator(step, index))

    def penalty(self) -> Tensor | None:
        sizes = [size for layer in self._layers if (size := layer.take_size()) is not None]
        if not sizes:
            return None
        left = 1 - self._share if self._options.reward_fades else 1.0
        return torch.stack(sizes).sum() * (-self._options.reward * left)

    def decide(self) -> None:
        for layer in self._layers:
            layer.remove(1)
            layer.noise = layer.size = None
            forget_removed(self._run.optimizer, layer)
        self._freeze()

    def numbers(self) -> dict[str, float]:
        if not self._searching:
            return {}
        best = sum(float(layer.probabilities().amax(0).sum()) for layer in self._layers)
        scale, temperature = self._layers[0].clock.tolist()
        blocks = sum(layer.blocks for layer in self._layers)
        return {"Temperature": temperature, "Logit scale": scale, "Likeliest": best / blocks}

    def close(self) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        for group in self._run.optimizer.param_groups if self._run.optimizer else ():
            group.pop("lr_scale", None)
        for layer in self._layers:
            layer.noise = layer.size = None


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer whose combinations are sampled by trained logits."""
    return MaskLlmLayer(name, weight, pattern)


conduct = _MaskLlm
