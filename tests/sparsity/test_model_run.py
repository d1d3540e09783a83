"""A model runs once as it would for its user, on any device, and does not change."""

from __future__ import annotations

import threading
from collections.abc import Mapping

import pytest
import torch
from torch import Tensor, nn

from lbc.sparsity.model_run import run_once


class Numbered(nn.Module):
    """A layer that makes a tensor while it runs, on the default device."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        return torch.add(self.linear(x), torch.arange(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_model_without_memory_computes_with_zeros_of_its_own_type(dtype: torch.dtype) -> None:
    with torch.device("meta"):
        model = Numbered(dtype)
        output = run_once(model, (torch.ones(2, 4, dtype=dtype, device="cpu"),))
    assert isinstance(output, Tensor)
    assert (output.dtype, output.tolist()) == (dtype, [[0, 1, 2, 3]] * 2)
    assert model.linear.weight.is_meta


def test_layers_without_shapes_are_passed_over() -> None:
    model = nn.Sequential(nn.LazyBatchNorm1d(), nn.Linear(4, 2))
    given: list[Mapping[str, Tensor]] = []
    run_once(model, (torch.ones(3, 4),), on_start=given.append)
    assert list(given[0]) == ["1.weight", "1.bias"]


class Drawing(nn.Module):
    """A layer that draws in evaluation mode too, beside values that are not on the meta device."""

    def __init__(self, device: str) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4, device=device)
        self.scale = nn.Buffer(torch.ones(4, device="cpu"))

    def forward(self, x: Tensor) -> Tensor:
        hidden: Tensor = self.linear(x * self.scale + torch.rand(4)) + torch.randn_like(x)
        return nn.functional.dropout(hidden)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_another_thread_draws_meanwhile_is_not_drawn_again(device: str) -> None:
    model = Drawing(device)
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    drawn: list[torch.Tensor] = []

    def draw(_: object) -> None:
        thread = threading.Thread(target=lambda: drawn.append(torch.rand(1)))
        thread.start()
        thread.join()

    run_once(model, (torch.zeros(2, 4),), on_start=draw)
    assert torch.equal(torch.cat([*drawn, torch.rand(2)]), expected)
