"""Attach N:M scores to a torch model, look inside, remove combinations, detach."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from copy import copy, deepcopy
from typing import Any, Unpack
from weakref import ref

import torch
from torch import Tensor, nn

from lbc.sparsity.attachment import (
    HeldZeros,
    attached_layers,
    detach,
    refuse_other_states,
    remove_loading_hook,
)
from lbc.sparsity.conductor import Conductor, Given, Run
from lbc.sparsity.interventions import allowed_alone, allowed_without
from lbc.sparsity.layer_names import listed
from lbc.sparsity.method_options import MethodOptions, read_options
from lbc.sparsity.methods import load_method
from lbc.sparsity.optimizer_state import (
    Trained,
    check_optimizer,
    forget_removed,
)
from lbc.sparsity.removal import Progress, check_finite, remove_combinations
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparse_layer import SparseLayer, whole
from lbc.sparsity.stored_state import check_state, plain_state_dict
from lbc.sparsity.weight_sites import Site


class Sparsifier:
    """The N:M layers of one model while their best combinations are learned.

    ``layers`` maps the name of each sparse layer to its state, ``skipped`` the name of every other
    weight of two or more dimensions to the reason why it stays dense. ``schedule`` is the last one
    given to ``follow``. ``conductor`` is that of the last ``conduct``, and ``decided`` whether
    ``decide`` has been called since.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: dict[str, SparseLayer],
        skipped: dict[str, str],
        sites: Mapping[str, Site],
        options: MethodOptions,
    ) -> None:
        self.model = model
        self.layers = layers
        self.skipped = skipped
        self.options = options
        self.schedule: Schedule | None = None
        self.conductor = Conductor()
        self.decided = False
        self._optimizer: ref[torch.optim.Optimizer] | None = None
        self._sites = sites
        self._finalized: tuple[int, int] | None = None

    # -- reading --------------------------------------------------------------------------------

    def scores(self, name: str) -> Tensor:
        """Scores of one layer: float (blocks, C), −inf where removed."""
        return self.layers[name].scores()

    def live(self, name: str) -> Tensor:
        """Live set of one layer: bool (blocks, C)."""
        return self.layers[name].live()

    def mask(self, name: str) -> Tensor:
        """Mask of one layer: bool, shaped like its weight."""
        return self.canonical(name, self.layers[name].mask).clone()

    def dense_weight(self, name: str) -> nn.Parameter:
        """The weight of one layer below its mask, the parameter that the optimiser trains."""
        return self.model.get_parameter(f"{self._sites[name].prefix}original")

    def canonical(self, name: str, tensor: Tensor) -> Tensor:
        """A tensor shaped like the weight of one layer, in the order (O, I, *kernel)."""
        return self._sites[name].canonical(tensor)

    def density(self) -> float:
        """Share of weights kept, over all sparse layers, also once finalized."""
        kept, total = self._finalized or self._kept_weights()
        return kept / total

    @property
    def method(self) -> str:
        """The name of the method."""
        return self.options.name

    @property
    def searching(self) -> bool:
        """Whether any mask may still change."""
        return any(layer.searching for layer in self.layers.values())

    @property
    def optimizer(self) -> torch.optim.Optimizer | None:
        """The last optimiser given to ``follow`` or ``remove``, while it exists."""
        return None if self._optimizer is None else self._optimizer()

    def score_parameters(self) -> list[nn.Parameter]:
        """The trained tensors behind the scores of all layers."""
        return [one for layer in self.layers.values() for one in layer.score_parameters()]

    def __repr__(self) -> str:
        rows = [("layer", "N:M", "live", "density")]
        for name, layer in self.layers.items():
            live = f"{layer.live_count:,} of {layer.pattern.count:,}"
            rows.append((name or "(model)", str(layer.pattern), live, f"{layer.density:.1%}"))
        rows += [(name or "(model)", "dense", "", why) for name, why in self.skipped.items()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        state = "finalized" if self._finalized else f"method {self.method}"
        return "\n".join([f"Sparsifier ({state}, density {self.density():.1%})", *lines])

    # -- conducting -----------------------------------------------------------------------------

    def conduct(
        self,
        optimizer: torch.optim.Optimizer | None,
        steps: int,
        steps_per_epoch: int,
        schedule: Schedule | None = None,
        **given: Unpack[Given],
    ) -> Conductor:
        """The method's part in a run of ``steps`` steps, whose moments the training loop calls.

        Call it before the first step; the other arguments are as in ``lbc.sparsity.conductor.Run``.
        Where a method needs only its layers, these calls do nothing.
        """
        self.conductor.close()
        for name, layer in self.layers.items():
            layer.see(self._canonical_weight(name))
        run = Run(
            model=self.model,
            layers=self.layers,
            modules={k: self.model.get_submodule(self._sites[k].module) for k in self.layers},
            weights={name: self.dense_weight(name) for name in self.layers},
            options=self.options,
            optimizer=optimizer,
            steps=steps,
            steps_per_epoch=steps_per_epoch,
            schedule=schedule or Schedule(),
            **given,
        )
        conduct = getattr(load_method(self.method), "conduct", None)
        self.conductor, self.decided = conduct(run) if conduct else Conductor(), False
        return self.conductor

    def decide(self) -> None:
        """Let the conductor make every layer obey its pattern, once."""
        if not self.decided:
            self.conductor.decide()
            self.decided = True

    @property
    def left_dense(self) -> dict[str, str]:
        """Why layers are dense: those skipped, and those of which the method keeps every weight."""
        chosen = {
            name: f"{self.method} has decided to keep it dense"
            for name, layer in self.layers.items()
            if layer.chooses_density and not layer.searching and layer.density == 1
        }
        return {**self.skipped, **chosen}

    # -- removing -------------------------------------------------------------------------------

    def remove(
        self,
        live: int,
        optimizer: torch.optim.Optimizer | None = None,
        progress: Progress = lambda _: None,
    ) -> None:
        """Keep the ``live`` best combinations in every block of every layer, for good.

        With ``optimizer``, or with the one that was given before, the state that it keeps for
        removed combinations is dropped too. Raises ValueError if ``live`` < 1 or the optimiser
        trains weights without their scores, FloatingPointError if a score is not finite, and
        whatever ``progress`` raises to cancel the removal; nothing has been removed then.
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
        """Remove what the method and ``schedule`` ask for at ``epoch``, each layer by its pattern.

        ``epoch`` may be a fraction: called after every step, removal goes step by step. The other
        arguments, and what is raised, are as in ``remove``.
        """
        self.schedule = schedule
        wanted = {name: layer.wanted(schedule, epoch) for name, layer in self.layers.items()}
        self._remove(wanted, optimizer, progress)

    def sync_live_sets(self) -> None:
        """Bring the live sets in line with the masks, which SR-STE changes in every step."""
        for layer in self.layers.values():
            layer.sync_live_sets()

    def ban(
        self,
        name: str,
        combination: int,
        block: int | None = None,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        """Remove a combination of layer ``name`` now and for good, in one block or in every one.

        Blocks that have lost it already do not change. Removal continues as scheduled: a block
        that has lost more than the schedule asks for loses none until the schedule has caught up.
        ``optimizer`` as in ``remove``. Raises ValueError if there is no such layer, combination or
        block, if the method is not ``lbc``, and if the combination is removed everywhere or is the
        last one live in a block; nothing has changed then.
        """
        self._restrict(allowed_without, name, combination, block, optimizer)

    def pin(
        self,
        name: str,
        combination: int,
        block: int | None = None,
        optimizer: torch.optim.Optimizer | None = None,
    ) -> None:
        """Let a combination of layer ``name`` win now, in one block or in every one.

        All others of the block are removed for good: the block is decided, its mask is this
        combination, and no later score can change that. ``optimizer`` as in ``remove``.
        Raises ValueError if there is no such layer, combination or block, if the method is not
        ``lbc``, and if the combination has been removed, or has won, already; nothing has changed
        then.
        """
        self._restrict(allowed_alone, name, combination, block, optimizer)

    # -- storing --------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, dict[str, Tensor]]:
        """Pattern, method, live sets, masks and scores by layer, for ``load_state_dict``.

        The model's own state dict holds them too, beside the weights.
        """
        self.sync_live_sets()
        return {name: layer.state_dict() for name, layer in self.layers.items()}

    def load_state_dict(self, state: Mapping[str, Mapping[str, Tensor]]) -> None:
        """Take over what ``state_dict`` returned. The weights do not change.

        Raises ValueError naming the first layer that differs, in pattern, method, form of scores
        or shape; nothing has changed then.
        """
        check_state(state, self.layers)
        for name, layer in self.layers.items():
            layer.load_state_dict(state[name])

    def dense_state_dict(self) -> dict[str, Tensor]:
        """The model's state dict with the keys of the plain model, masked weights zero.

        What ``finalize`` would leave, if every block were decided; the model does not change. For
        ``save_pretrained(folder, state_dict=…)`` and for plain models. In the other direction,
        the model loads a plain state dict by itself, and keeps scores, masks and live sets.
        """
        self.sync_live_sets()
        layers = {self._sites[name]: layer for name, layer in self.layers.items()}
        return plain_state_dict(self.model, layers)

    def finalize(self, hold: bool = False) -> nn.Module:
        """Make the modules plain again, zeros in the weights, and return the model.

        If several combinations are live the best one wins, so that the result obeys the pattern.
        Nothing of lbc is left in the model or its state dict, unless the model is trained on with
        ``hold``: a forward pre-hook then keeps masked weights zero. Raises FloatingPointError if
        the choice would rest on a score that is not finite.
        """
        if not self.layers:
            return self.model
        if any(whole(one) is not one for one in self.model.parameters()):
            raise ValueError(
                "The model is divided among processes by fully_shard and cannot be made plain in "
                "place: save dense_state_dict(), which is whole, or load the model's state dict "
                "into an undivided model that is sparsified alike."
            )
        self.decide()
        self._remove(dict.fromkeys(self.layers, 1), None, lambda _: None)
        self.conductor.close()
        self._finalized = self._kept_weights()
        masks = {self._sites[name].key: self.mask(name) for name in self.layers}
        for name, layer in self.layers.items():
            detach(self.model, self._sites[name], layer)
        remove_loading_hook(self.model, refuse_other_states)
        self.layers = {}
        if hold:
            held = HeldZeros(masks)
            self.model.register_forward_pre_hook(held)
            held(self.model)
        return self.model

    @classmethod
    def of(cls, model: nn.Module) -> Sparsifier:
        """The sparsifier of a model that has layers already: a deep copy, or an average.

        ``skipped`` is empty. Raises ValueError if the model has no sparse layer.
        """
        found = attached_layers(model)
        if not found:
            raise ValueError("The model has no sparse layer: call sparsify(model, …) first.")
        layers = {layer.name: layer for layer in found.values()}
        sites = {layer.name: site for site, layer in found.items()}
        first = next(iter(layers.values()))
        return cls(model, layers, {}, sites, first.options or read_options(first.method))

    # -- inside ---------------------------------------------------------------------------------

    def __deepcopy__(self, memo: dict[int, Any]) -> Sparsifier:
        """A copy of model and layers, without the conductor, whose hooks act on this model."""
        twin = copy(self)
        memo[id(self)] = twin
        twin.conductor, twin.decided = Conductor(), True
        twin.model, twin.layers = deepcopy((self.model, self.layers), memo)
        twin.skipped = dict(self.skipped)
        return twin

    def _trained(self) -> dict[str, Trained]:
        """Dense weight and layer of every layer."""
        return {name: (self.dense_weight(name), layer) for name, layer in self.layers.items()}

    def _canonical_weight(self, name: str) -> Tensor:
        return self.canonical(name, whole(self.dense_weight(name).detach()))

    def _kept_weights(self) -> tuple[int, int]:
        masks = [layer.mask for layer in self.layers.values()]
        return sum(int(mask.sum()) for mask in masks), sum(mask.numel() for mask in masks)

    def _restrict(
        self,
        allowed: Callable[[SparseLayer, int, int | None], Tensor],
        name: str,
        combination: int,
        block: int | None,
        optimizer: torch.optim.Optimizer | None,
    ) -> None:
        if name not in self.layers:
            raise ValueError(
                f"There is no sparse layer {name!r}: the layers are {listed([*self.layers])}."
            )
        layer = self.layers[name]
        kept = allowed(layer, combination, block)
        optimizer = self._known(optimizer)
        layer.restrict(kept, block)
        forget_removed(optimizer, layer)

    def _remove(
        self, wanted: dict[str, int], optimizer: torch.optim.Optimizer | None, progress: Progress
    ) -> None:
        optimizer = self._known(optimizer)
        check_finite(self.layers.values())
        for name, layer in self.layers.items():
            if whole(dense := self.dense_weight(name)) is not dense:
                layer.see(self._canonical_weight(name))  # what a pass saw has been freed
        remove_combinations(self.layers, self._canonical_weight, wanted, optimizer, progress)

    def _known(self, optimizer: torch.optim.Optimizer | None) -> torch.optim.Optimizer | None:
        """The optimiser to clean up, checked when it is a new one."""
        if optimizer is not None and optimizer is not self.optimizer:
            check_optimizer(optimizer, self._trained())
            self._optimizer = ref(optimizer)
        return self.optimizer
