"""Batches that pass through a model side by side."""

from __future__ import annotations

import threading
from contextlib import closing

import pytest
import torch
from torch import Tensor, nn

from lbc.sparsity.calibration.side_by_side import calls_in_order


class Network(nn.Module):
    """Its second layer runs before its first, and its third only for large inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = (nn.Linear(4, 4) for _ in range(3))
        self.dropout = nn.Dropout(0.5)
        self.runs = 0

    def forward(self, inputs: Tensor) -> Tensor:
        self.runs += 1
        hidden = self.dropout(self.second(inputs))
        if float(inputs.sum()) > 0:
            hidden = self.third(hidden)
        out: Tensor = self.first(self.first(hidden))
        return out


def modules_of(network: Network) -> dict[str, nn.Module]:
    return {name: network.get_submodule(name) for name in ("first", "second", "third")}


def test_a_layer_gets_the_inputs_that_the_changed_layers_before_it_make() -> None:
    torch.manual_seed(0)
    network, batches = Network(), [torch.ones(2, 4), torch.full((3, 4), 2.0)]
    network.third.train(False)
    expected = batches
    with closing(calls_in_order(network, modules_of(network), batches)) as order:
        for name, calls in order:
            assert not network.training
            given = [call.args[0] for call in calls]
            assert all(torch.equal(a, b) for a, b in zip(given, expected, strict=True))
            layer = getattr(network, name)
            with torch.no_grad():
                layer.weight.mul_(-1)
                expected = [layer(batch) for batch in given]
    assert network.runs == 2  # one pass of each batch in all
    assert network.training and network.dropout.training and not network.third.training
    assert not network.first._forward_pre_hooks


def test_layers_come_in_the_order_of_execution_once_each() -> None:
    network = Network()
    batches = [-torch.ones(1, 4), torch.ones(1, 4)]
    with closing(calls_in_order(network, modules_of(network), batches)) as order:
        seen = [(name, len(calls)) for name, calls in order]
    assert seen == [("second", 2), ("first", 1), ("third", 1)]


def test_what_goes_wrong_ends_every_pass() -> None:
    network = Network()
    before = threading.active_count()
    with (
        pytest.raises(RuntimeError, match="shapes cannot be multiplied"),
        closing(
            calls_in_order(network, modules_of(network), [torch.ones(1, 4), torch.ones(1, 3)])
        ) as order,
    ):
        assert next(order)[0] == "second"
        next(order)
    with closing(calls_in_order(network, modules_of(network), [torch.ones(1, 4)] * 3)) as order:
        next(order)  # and no further
    assert threading.active_count() == before
    assert network.training and not network.first._forward_pre_hooks
