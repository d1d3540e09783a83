"""What a method may do to a run beside its layers: the moments of training at which it is called.

A method with a function ``conduct(run) -> Conductor`` is called at these moments, in this order in
every step: ``before_step``, forward, ``penalty`` added to the loss, backward, ``before_update``,
clipping, update, ``after_update``. The trainer calls them, and so can any other training loop: see
``Sparsifier.conduct``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypedDict

import torch
from torch import Tensor, nn

from lbc.sparsity.method_options import MethodOptions
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparse_layer import SparseLayer


def _unavailable(*_: object) -> Iterator[Tensor]:
    raise ValueError(
        "The method needs images of the training set: give batches to Sparsifier.conduct."
    )


def _not_evaluated() -> float:
    raise ValueError(
        "The method needs the accuracy on held-out images: give evaluate to Sparsifier.conduct."
    )


def replacement(own: Tensor, stored: Tensor) -> Tensor:
    """A copy of a stored tensor, which replaces ``own``. Raises ValueError if it does not fit."""
    if stored.shape != own.shape or stored.dtype != own.dtype:
        raise ValueError(f"a tensor is {tuple(stored.shape)}, and {tuple(own.shape)} is needed")
    return stored.to(own.device, copy=True)


class Given(TypedDict, total=False):
    """What a training loop may give a method: see ``Run``."""

    seed: int
    batches: Callable[[int], Iterator[Tensor]]
    evaluate: Callable[[], float]
    shares: Mapping[str, float]
    progress: Callable[[float], object]


@dataclass(frozen=True)
class Run:
    """What a method may use of a run besides its layers.

    ``layers`` and ``modules``: the sparse layers, and the module of each weight, under the same
    names. ``optimizer``: parameters may be frozen, and a group may be given an ``lr_scale``, a
    factor of its learning rate. ``steps``: those of the whole run. ``batches(n)`` yields batches of
    the first n images of a fixed random order of the training set, normalised, not augmented, on
    the model's device, the same on every rank. ``evaluate()`` is the accuracy of the model, 0 to
    1, on images that were held out of the training set, never those of the test split: see
    ``MethodOptions.evaluation_share``. ``shares`` are the shares of the network's multiply-adds
    that the layers take when they are dense; empty if unknown.
    ``progress`` is called with the completed fraction of a long computation.

    Random numbers of a method depend on (``seed``, step, layer) alone: see ``generator``.
    """

    model: nn.Module
    layers: Mapping[str, SparseLayer]
    modules: Mapping[str, nn.Module]
    weights: Mapping[str, nn.Parameter]
    """The dense weight of each layer, in the module's own order of dimensions."""
    options: MethodOptions
    optimizer: torch.optim.Optimizer | None
    steps: int
    steps_per_epoch: int
    schedule: Schedule
    seed: int = 0
    batches: Callable[[int], Iterator[Tensor]] = field(default=_unavailable)
    evaluate: Callable[[], float] = field(default=_not_evaluated)
    shares: Mapping[str, float] = field(default_factory=dict)
    progress: Callable[[float], object] = field(default=lambda _: None)

    @property
    def epochs(self) -> int:
        """The number of epochs of the whole run."""
        return -(-self.steps // self.steps_per_epoch)

    def epoch(self, step: int) -> float:
        """The epochs that are complete before a step, counted from 1."""
        return (step - 1) / self.steps_per_epoch

    def generator(self, step: int, layer: int = 0) -> torch.Generator:
        """A random generator on the CPU that depends on seed, step and layer alone."""
        digest = sha256(f"{self.seed} {step} {layer}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


class Conductor:
    """A method's part in every step. Each moment is optional; by default nothing happens."""

    def before_step(self, step: int) -> None:
        """Called before the forward pass of a step, counted from 1."""

    def penalty(self) -> Tensor | None:
        """A term of the loss, with gradients, computed after the forward pass; None for none.

        With gradient accumulation it is called for each part, and weighted by the part's share.
        """
        return None

    def before_update(self, step: int) -> None:
        """Called with complete gradients, unscaled and not yet clipped."""

    def after_update(self, step: int) -> None:
        """Called when the optimiser has changed the parameters."""

    def decide(self) -> None:
        """Make every layer obey its pattern. Called once, at ``MethodOptions.decision``."""

    def state(self) -> dict[str, Tensor]:
        """What a checkpoint keeps, beside the state of the layers."""
        return {}

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from what ``state`` returned; called after the model has been loaded."""

    def numbers(self) -> dict[str, float]:
        """Quantities to be recorded at the end of each epoch, by their labels."""
        return {}

    def close(self) -> None:
        """Remove what was installed on modules; called when the model is finalized."""
