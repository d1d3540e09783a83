"""A small convolutional network, its training, and a search half way."""

from __future__ import annotations

import io
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier

Form = Literal["per_weight", "per_combination"]
FORMS: tuple[Form, Form] = ("per_weight", "per_combination")
both_forms = pytest.mark.parametrize("form", FORMS)


def net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Tanh(), nn.Conv2d(8, 8, 3, bias=False),
        nn.Flatten(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 5),
    )  # fmt: skip


def sgd(model: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)


def steps(model: nn.Module, optimizer: torch.optim.Optimizer, count: int, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    dtype = next(model.parameters()).dtype
    for _ in range(count):
        data = torch.randn(10, 3, 6, 6, generator=generator).to(dtype)
        labels = torch.randint(5, (10,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(data), labels).backward()  # type: ignore[no-untyped-call]
        optimizer.step()


def half_way(form: Form, live: int = 3) -> tuple[nn.Sequential, Sparsifier, torch.optim.SGD]:
    """A search in which ``live`` of six combinations are left."""
    torch.manual_seed(0)
    model = net()
    sparsifier = sparsify(model, "2:4", scores=form)
    optimizer = sgd(model)
    steps(model, optimizer, 3)
    sparsifier.remove(live, optimizer)
    return model, sparsifier, optimizer


def saved(state: dict[str, Any]) -> dict[str, Any]:
    """What a state dict is after a file, loaded without pickle's freedom."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def assert_same(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name
