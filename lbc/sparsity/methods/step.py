"""STEP: dense until Adam's variances have settled; then the largest weights, with fixed variances.

Lu et al., "STEP: Learning N:M Structured Sparsity Masks from Scratch with Precondition", ICML 2023.
In the first phase Adam trains the dense weights. With v_t its running variances of all sparse
weights, Z_t = mean |v_t − v_{t−1}|; the phase ends after the first step in which the mean of the
last 1 / (1 − β₂) of the Z is below Adam's ε, not before a share ``earliest`` of ``schedule.end``,
and there in any case. (The released bounds, 10 % and 50 % of the steps, are the defaults under a
schedule that ends halfway.) In the second phase W̃ = b ⊙ W with b = top-N |W| of the present
weights, the gradient passes straight through, and

    m ← β₁ m + (1 − β₁) g,    W ← W − lr · (m / (1 − β₁ᵗ)) / (√v̂ + ε),

with AdamW after W ← (1 − lr · λ) W, with Adam for g + λ W. v̂ is fixed: what Adam divides by in the
last step of the first phase, v / (1 − β₂ᵗ). The released code divides by √v + ε^¾ instead, without
that correction: in a run of hundreds of steps its weights would jump, as v of 100 steps is a tenth
of v̂. Biases, norms and dense layers stay with Adam.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from math import fsum
from typing import Any, cast

import torch
from torch import Tensor, nn

from lbc.sparsity.conductor import Conductor, Run
from lbc.sparsity.live_sets import LiveSets
from lbc.sparsity.magnitude_layer import RecomputedLayer
from lbc.sparsity.method_options import Form
from lbc.sparsity.method_options.step import Options
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparse_layer import SparseLayer
from lbc.sparsity.straight_through import straight_through


class StepLayer(RecomputedLayer):
    """W̃ = W while all combinations are live, b ⊙ W with the gradient straight through after."""

    def __init__(self, name: str, weight: Tensor, pattern: Pattern) -> None:
        super().__init__(name, weight, pattern)
        self.live_sets = LiveSets(self.blocks, pattern.count, weight.device)
        self.mask = torch.ones_like(self.mask)

    @property
    def dense(self) -> bool:
        """Whether the first phase lasts."""
        return self.live_count > 1

    def sync_live_sets(self) -> None:
        if not self.dense:
            super().sync_live_sets()

    def choose(
        self,
        live: int,
        /,
        scored: Callable[[int], object] = lambda _: None,
        weight: Tensor | None = None,
    ) -> tuple[LiveSets, Tensor]:
        """All combinations while more than one is to be live, then the largest weights."""
        return (self.live_sets, self.mask) if live > 1 else super().choose(live, scored, weight)

    def forward(self, weight: Tensor) -> Tensor:
        if self.dense:
            self.see(weight)
            return weight
        return straight_through(weight, weight.detach() * self.recomputed(weight))


class _Step(Conductor):
    """Watches the variances, fixes them, and from then on updates the sparse weights itself.

    It does so in a hook of the optimiser, with the gradients as clipped, and then takes them away,
    so that the optimiser leaves these weights and their moments alone.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        optimizer = getattr(run.optimizer, "optimizer", run.optimizer)  # accelerate wraps it
        if not isinstance(optimizer, torch.optim.Adam):
            raise ValueError(
                "step needs the variances of Adam: give an optimiser torch.optim.Adam or AdamW."
            )
        self._optimizer = optimizer
        self._layers = cast("list[StepLayer]", [*run.layers.values()])
        self._own = {id(weight): weight for weight in run.weights.values()}
        self._before: dict[int, Tensor] = {}
        group = next((group for group, _ in self._weights()), optimizer.param_groups[0])
        self._bound = float(group["eps"])
        self._changes: deque[float] = deque(maxlen=max(1, round(1 / (1 - group["betas"][1]))))
        self._hook = optimizer.register_step_pre_hook(self._update)

    @property
    def _dense(self) -> bool:
        return any(layer.dense for layer in self._layers)

    def _weights(self) -> Iterator[tuple[dict[str, Any], nn.Parameter]]:
        """The sparse weights that the optimiser trains, and their groups."""
        for group in self._optimizer.param_groups:
            for parameter in group["params"]:
                if id(parameter) in self._own:
                    yield group, parameter

    def before_update(self, _step: int) -> None:
        if not self._dense:
            return
        for _, weight in self._weights():
            before = self._before.setdefault(id(weight), torch.zeros_like(weight))
            if variance := self._optimizer.state.get(weight, {}):
                before.copy_(variance["exp_avg_sq"])

    @torch.no_grad()
    def after_update(self, step: int) -> None:
        if not self._dense:
            return
        changes = [
            self._before[id(weight)].sub_(state["exp_avg_sq"]).abs_().sum()
            for _, weight in self._weights()
            if (state := self._optimizer.state.get(weight, {}))
        ]
        total = sum(weight.numel() for weight in self._own.values())
        self._changes.append(float(torch.stack(changes).sum()) / total if changes else 0.0)
        share = step / self._run.steps_per_epoch / self._run.schedule.end
        settled = self._mean < self._bound and share > cast(Options, self._run.options).earliest
        if settled or share >= 1:
            self.decide()

    @property
    def _mean(self) -> float:
        return fsum(self._changes) / len(self._changes)

    @torch.no_grad()
    def decide(self) -> None:
        """End the first phase."""
        if not self._dense:
            return
        for layer in self._layers:
            layer.remove(1)
        for group, weight in self._weights():
            if state := self._optimizer.state.get(weight, {}):
                state["exp_avg_sq"].div_(1 - group["betas"][1] ** float(state["step"]))
            else:  # never updated, so Adam has yet to begin with it
                del self._own[id(weight)]
        self._before.clear()
        self._changes.clear()

    @torch.no_grad()
    def _update(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """One step of the second phase, before the optimiser's own."""
        if self._dense:
            return
        overflow = getattr(optimizer, "found_inf", None)  # given by a GradScaler
        skipped = overflow is not None and bool(overflow)
        for group, weight in self._weights():
            gradient, weight.grad = weight.grad, None
            if gradient is not None and not skipped:
                _preconditioned(weight, gradient, self._optimizer.state[weight], group)

    def state(self) -> dict[str, Tensor]:
        return {"changes": torch.tensor([*self._changes], dtype=torch.float64)}

    def load(self, state: Mapping[str, Tensor]) -> None:
        self._changes.extend(state["changes"].tolist())

    def numbers(self) -> dict[str, float]:
        return {"Change of variances": self._mean} if self._changes else {}

    def close(self) -> None:
        self._hook.remove()


def _preconditioned(
    weight: Tensor, gradient: Tensor, state: Mapping[str, Tensor], group: Mapping[str, Any]
) -> None:
    """Adam's update with the variance as it is."""
    (beta, _), lr, decay = group["betas"], group["lr"], group["weight_decay"]
    if decay and group["decoupled_weight_decay"]:
        weight.mul_(1 - lr * decay)
    elif decay:
        gradient = gradient.add(weight, alpha=decay)
    state["step"].add_(1)
    average = state["exp_avg"].lerp_(gradient, 1 - beta)
    divisor = state["exp_avg_sq"].sqrt().add_(group["eps"])
    weight.addcdiv_(average, divisor, value=-lr / (1 - beta ** float(state["step"])))


def attach(name: str, weight: Tensor, pattern: Pattern, _form: Form, /) -> SparseLayer:
    """A layer that is dense, and from the switch on has a mask that follows its weights."""
    return StepLayer(name, weight, pattern)


conduct = _Step
