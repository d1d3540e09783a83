"""A small network that several tests make sparse, and steps of its training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lbc.sparsity.sparsifier import Sparsifier

METHODS = (
    {"scores": "per_weight"},
    {"scores": "per_combination"},
    {"method": "sr-ste"},
    {"method": "asp"},
)
"""Keyword arguments of ``sparsify``, one for each kind of layer that ends sparse."""


def perceptron() -> nn.Sequential:
    """Three Linear layers, the last of which stays dense; always with the same weights."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4)
    )


def images(count: int = 8, seed: int = 0) -> Tensor:
    """Inputs of the network: (count, 16)."""
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(seed))


def weight_of(model: nn.Module, name: str) -> Tensor:
    """The weight that a module computes with."""
    weight: Tensor = model.get_submodule(name).weight  # type: ignore[assignment]
    return weight


def train(
    model: nn.Module, optimizer: torch.optim.Optimizer, steps: int = 3, seed: int = 0
) -> None:
    """Some steps on data that depend on the seed alone."""
    model.train()
    for step in range(steps):
        optimizer.zero_grad()
        model(images(seed=1000 * seed + step)).square().mean().backward()
        optimizer.step()


def sgd(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-3)


def obeys(weight: Tensor, n: int = 2, m: int = 4) -> bool:
    """Whether at most n of every m consecutive inputs are non-zero: (O, I)."""
    return bool(((weight != 0).reshape(-1, m).sum(dim=1) <= n).all())


def search_to_the_end(
    model: nn.Module, sparsifier: Sparsifier, optimizer: torch.optim.Optimizer
) -> None:
    """Train in between removals to six, three and one live combination."""
    for live in (6, 3, 1):
        train(model, optimizer, 2, seed=live)
        sparsifier.remove(live, optimizer)
