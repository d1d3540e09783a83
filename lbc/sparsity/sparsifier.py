"""Attach N:M scores to a torch model, look inside, remove combinations, detach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from lbc.sparsity.layer_plan import LayerPlan, PatternLike, plan_layers
from lbc.sparsity.methods import Method, load_method
from lbc.sparsity.pattern import LARGEST_COUNT
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparse_layer import (
    Form,
    PerCombination,
    SparseLayer,
    live_memory,
    score_memory,
)
from lbc.sparsity.weight_sites import find_site

SCORE_MEMORY_LIMIT = 4 << 30
"""Bytes that scores of combinations may take before ``sparsify`` refuses."""

Progress = Callable[[float], object]
"""Told which share of a removal is done, from 0 to 1."""

ADAM_COPIES = 4
"""Scores, gradient and two moments: what an optimiser of unknown kind may need."""


class Sparsifier:
    """The N:M layers of one model while their best combinations are being learned."""

    def __init__(
        self, model: nn.Module, layers: dict[str, SparseLayer], skipped: dict[str, str]
    ) -> None:
        self.model = model
        self.layers = layers
        """Sparse layers by module name."""
        self.skipped = skipped
        """Why each other Linear or Conv layer stays dense, by module name."""

    def scores(self, name: str) -> Tensor:
        """Scores of one layer: float (blocks, C), −inf where removed."""
        return self.layers[name].scores()

    def live(self, name: str) -> Tensor:
        """Live set of one layer: bool (blocks, C)."""
        return self.layers[name].live()

    def mask(self, name: str) -> Tensor:
        """Mask of one layer: bool, shaped like its weight."""
        return self.layers[name].mask.clone()

    def density(self) -> float:
        """Share of weights kept, over all sparse layers (1.0 where there is none)."""
        masks = [layer.mask for layer in self.layers.values()]
        total = sum(mask.numel() for mask in masks)
        return sum(int(mask.sum()) for mask in masks) / total if total else 1.0

    @property
    def searching(self) -> bool:
        """Whether any mask may still change."""
        return any(layer.searching for layer in self.layers.values())

    def remove(
        self,
        live: int,
        optimizer: torch.optim.Optimizer | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        """Keep the ``live`` best combinations in every block of every layer, for good.

        With ``optimizer``, the state it keeps for removed combinations is dropped too. Raises
        ValueError where ``live`` < 1, FloatingPointError where a score is not finite, and whatever
        ``progress`` raises to call the removal off; in all cases nothing has been removed.
        """
        if live < 1:
            raise ValueError(f"{live} combinations cannot live: keep at least 1 in every block.")
        self._remove(dict.fromkeys(self.layers, live), optimizer, progress)

    def due(self, schedule: Schedule, epoch: float) -> bool:
        """Whether ``follow`` would remove anything at ``epoch``."""
        return any(
            layer.searching and layer.wanted(schedule, epoch) < layer.live_count
            for layer in self.layers.values()
        )

    def follow(
        self,
        schedule: Schedule,
        epoch: float,
        optimizer: torch.optim.Optimizer | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        """Remove what method and ``schedule`` ask for at ``epoch``, each layer by its pattern.

        ``epoch`` may be a fraction: called after every step, removal goes step by step. The other
        arguments, and what is raised, are as in ``remove``.
        """
        wanted = {name: layer.wanted(schedule, epoch) for name, layer in self.layers.items()}
        self._remove(wanted, optimizer, progress)

    def settle(self) -> None:
        """Bring every live set in line with its mask, which SR-STE chooses anew in each step."""
        for layer in self.layers.values():
            layer.settle()

    def ban(
        self,
        name: str,
        combination: int,
        block: int | None = None,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        """Remove a combination of layer ``name`` now and for good, in one block or in every one.

        Blocks in which it is gone already stay as they are. Removal goes on as scheduled: a block
        that has lost more than is asked for loses none until the schedule has caught up. With
        ``optimizer``, the state it keeps for what was removed is dropped too.
        Raises ValueError where there is no such layer, combination or block, where the method is
        not ``lbc``, and where it is gone everywhere or is the last one live in a block; nothing
        has changed then.
        """
        layer, lives = self._lives(name, combination, block)
        last = int((lives & (_of(layer.live_counts(), block) == 1)).sum())
        if last:
            raise ValueError(
                f"Combination {combination} is the last one live in {_where(name, block, last)}, "
                "and each block needs one: ban it in other blocks, or another combination."
            )
        allowed = torch.ones(layer.pattern.count, dtype=torch.bool)
        allowed[combination] = False
        self._restrict(layer, allowed, block, optimizer)

    def pin(
        self,
        name: str,
        combination: int,
        block: int | None = None,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        """Let a combination of layer ``name`` win now, in one block or in every one.

        All others of the block are removed for good: the block is decided, its mask is this
        combination, and no later score can change that. ``optimizer`` as in ``ban``.
        Raises ValueError where there is no such layer, combination or block, where the method is
        not ``lbc``, and where the combination has been removed, or has won, already; nothing has
        changed then.
        """
        layer, lives = self._lives(name, combination, block)
        gone = int((~lives).sum())
        if gone:
            raise ValueError(
                f"Combination {combination} was removed in {_where(name, block, gone)}, and what "
                "was removed never returns: pin one that lives, or pin it block by block."
            )
        if int(_of(layer.live_counts(), block).max()) == 1:
            raise ValueError(f"Combination {combination} has won already in {_where(name, block)}.")
        allowed = torch.zeros(layer.pattern.count, dtype=torch.bool)
        allowed[combination] = True
        self._restrict(layer, allowed, block, optimizer)

    def _lives(self, name: str, combination: int, block: int | None) -> tuple[SparseLayer, Tensor]:
        """A layer, and where a combination lives: bool (blocks,), or (1,) for one block or all.

        Raises ValueError where it cannot be stepped into.
        """
        layer = self.layers.get(name)
        if layer is None:
            raise ValueError(
                f"There is no sparse layer {name!r}: the layers are {', '.join(self.layers)}."
            )
        if not layer.score_parameters():
            raise ValueError(
                f"Layer {name!r} chooses by magnitude, and has no live set to step into: only the "
                "method lbc has."
            )
        for what, number, count in (
            ("combination", combination, layer.pattern.count),
            ("block", block or 0, layer.blocks),
        ):
            if not 0 <= number < count:
                raise ValueError(
                    f"Layer {name!r} has no {what} {number}: it has {count:,}, counted from 0."
                )
        octets = _of(layer.packed[:, combination // 8], block)
        lives = (octets >> combination % 8 & 1).bool()
        if not lives.any():
            raise ValueError(
                f"Combination {combination} was removed in {_where(name, block)} already."
            )
        return layer, lives

    def _restrict(
        self,
        layer: SparseLayer,
        allowed: Tensor,
        block: int | None,
        optimizer: torch.optim.Optimizer | None,
    ) -> None:
        layer.restrict(allowed, block)
        if optimizer is not None:
            _forget(optimizer, layer)

    def finalize(self) -> nn.Module:
        """Make the modules plain again, zeros in the weights, and return the model.

        Where several combinations still live, the best one wins, so that the result obeys the
        pattern. Nothing of lbc is left in the model or its state dict. Raises FloatingPointError
        where that choice would rest on a score that is not finite.
        """
        self.remove(1)
        for name in self.layers:
            site = find_site(self.model, name)
            module, tensor = site.owner, site.tensor
            _give_own_class(module)
            parametrize.remove_parametrizations(module, tensor, leave_parametrized=True)
            with torch.no_grad():
                getattr(module, tensor).add_(0.0)  # −0 becomes +0
        self.layers = {}
        return self.model

    def _remove(
        self, wanted: dict[str, int], optimizer: torch.optim.Optimizer | None, progress: Progress
    ) -> None:
        # Of all that still compete, due or not: the sooner a diverged search ends the better.
        for layer in self.layers.values():
            finite = all(bool(torch.isfinite(at).all()) for at in layer.score_parameters())
            if layer.searching and not finite:
                raise FloatingPointError(
                    f"A score of layer {layer.name!r} is not a finite number, so nothing was "
                    "removed: lower the learning rate, or clip the gradients."
                )
        before = {name: layer.live_count for name, layer in self.layers.items()}
        due = {
            name: layer
            for name, layer in self.layers.items()
            if layer.searching and wanted[name] <= before[name]
        }
        scored = _counted(
            sum(at.blocks * at.pattern.count for n, at in due.items() if wanted[n] < before[n]),
            progress,
        )
        # All is chosen before anything is taken, so that a removal called off leaves no trace.
        chosen = {name: layer.choose(wanted[name], scored) for name, layer in due.items()}
        for name, layer in due.items():
            layer.take(*chosen.pop(name))
            if optimizer is not None and layer.live_count < before[name]:
                _forget(optimizer, layer)


def _counted(total: int, progress: Progress) -> Callable[[int], None]:
    """Turn numbers of scores into shares of all ``total``."""
    done = 0

    def scored(count: int) -> None:
        nonlocal done
        done += count
        if total:
            progress(min(done / total, 1.0))

    return scored


def _of(rows: Tensor, block: int | None) -> Tensor:
    """The row of one block, or all; one row may stand for every block."""
    return rows if block is None or len(rows) == 1 else rows[block : block + 1]


def _where(name: str, block: int | None, count: int | None = None) -> str:
    if block is not None:
        return f"block {block} of layer {name!r}"
    return f"layer {name!r}" if count is None else f"{count:,} blocks of layer {name!r}"


def _give_own_class(module: nn.Module) -> None:
    # torch takes the weight away from the class it made for a parametrized module, and copies of
    # the module share that class: without this, finalizing one would break all others.
    shared = type(module)
    contents = {k: v for k, v in vars(shared).items() if k not in ("__dict__", "__weakref__")}
    module.__class__ = type(shared.__name__, shared.__bases__, contents)


def _forget(optimizer: torch.optim.Optimizer, layer: SparseLayer) -> None:
    for parameter in layer.score_parameters():
        if not parameter.requires_grad:
            optimizer.state.pop(parameter, None)
        elif isinstance(layer, PerCombination):
            for value in optimizer.state.get(parameter, {}).values():
                if isinstance(value, Tensor) and value.shape == parameter.shape:
                    value.mul_(layer.live())


def sparsify(
    model: nn.Module,
    pattern: PatternLike,
    method: str = "lbc",
    scores: Literal["auto", "per_weight", "per_combination"] = "auto",
    skip: str | Sequence[str] | None = None,
    overrides: Mapping[str, PatternLike | None] | None = None,
    memory_limit: int = SCORE_MEMORY_LIMIT,
    example_inputs: object = None,
) -> Sparsifier:
    """Put every qualifying layer of ``model`` under an N:M pattern, in place.

    ``method`` is one of ``lbc.sparsity.methods``: ``lbc`` with learnable scores of combinations,
    ``dense``, ``asp`` or ``sr-ste``, which need none and choose by magnitude.

    Build the optimiser afterwards, from ``model.parameters()``: the scores are in it, and need the
    learning rate, momentum and weight decay of the weights.

    ``scores="per_weight"`` is exact under SGD and costs one float per weight for any N:M;
    ``"per_combination"`` is right for every optimiser and costs C / M floats per weight; ``"auto"``
    is the latter here, where the optimiser is not known. ``skip``, ``overrides`` and
    ``example_inputs`` are as in ``lbc.sparsity.layer_plan.plan_layers``.

    Raises ValueError as ``plan_layers`` does, for an unknown method or form, and where
    combinations are too many to enumerate or to keep in ``memory_limit`` bytes.
    """
    chosen = load_method(method)
    if scores not in ("auto", "per_weight", "per_combination"):
        raise ValueError(
            f"The scores {scores!r} are unknown: choose auto, per_weight or per_combination."
        )
    form: Form = "per_weight" if scores == "per_weight" else "per_combination"
    plans = plan_layers(model, pattern, skip, overrides, example_inputs)
    if method == "lbc":
        check_memory(plans, form, memory_limit)
    else:
        check_memory(plans, "per_weight", memory_limit)
    layers = {plan.name: _attach(model, plan, chosen, form) for plan in plans if plan.pattern}
    return Sparsifier(model, layers, {p.name: p.reason for p in plans if not p.pattern})


def plan_memory(plans: Sequence[LayerPlan], form: Form, copies: int = ADAM_COPIES) -> int:
    """Bytes that the scores of all planned layers take; ``copies`` as in ``score_memory``."""
    return sum(score_memory(p.shape, p.pattern, form, copies) for p in plans if p.pattern)


def check_memory(
    plans: Sequence[LayerPlan], form: Form, limit: int, copies: int = ADAM_COPIES
) -> None:
    """Raise ValueError where combinations are too many to enumerate or to keep in ``limit`` bytes.

    Per-combination scores count in full; of the per-weight form only the live bits do, the part
    that the choice of N:M decides.
    """
    for plan in plans:
        if plan.pattern and plan.pattern.count > LARGEST_COUNT:
            raise ValueError(
                f"{plan.pattern} has more combinations in every block of layer {plan.name!r} than "
                f"the {LARGEST_COUNT:,} that can be enumerated: choose a smaller M."
            )
    bits = sum(live_memory(plan.shape, plan.pattern) for plan in plans if plan.pattern)
    if form == "per_weight" and bits > limit:
        raise ValueError(
            f"The live combinations would take {_gib(bits)}, above the limit of {_gib(limit)}: "
            "choose an N:M with fewer combinations, or raise the limit."
        )
    needed = plan_memory(plans, form, copies)
    if form == "per_combination" and needed > limit:
        raise ValueError(
            f"Per-combination scores would take {_gib(needed)}, above the limit of {_gib(limit)}: "
            "train with SGD and scores='per_weight' (exact, "
            f"{_gib(plan_memory(plans, 'per_weight', copies))}), choose an N:M with fewer "
            "combinations, or raise the limit."
        )


def _gib(count: int) -> str:
    return f"{count / 2**30:,.2f} GiB"


def _attach(model: nn.Module, plan: LayerPlan, method: Method, form: Form) -> SparseLayer:
    assert plan.pattern is not None
    module = model.get_submodule(plan.module)
    weight = getattr(module, plan.tensor)
    assert isinstance(weight, Tensor)
    if plan.input_dim != 1:
        raise ValueError(
            f"Layer {plan.name!r} stores its weight with the inputs first, which cannot be masked "
            f"yet: leave it dense with skip={plan.name!r}."
        )
    layer = method.attach(plan.name, weight.detach(), plan.pattern, form)
    parametrize.register_parametrization(module, plan.tensor, layer)
    return layer
