"""Weights that a module keeps in another order are as sparse as those of a Linear."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lbc import Schedule, Sparsifier, sparsify
from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from tests.sparsity.networks import METHODS, images, perceptron, sgd, train

methods = pytest.mark.parametrize("method", METHODS, ids=str)


class Conv1D(nn.Module):
    """As transformers' layer of that name: a Linear whose weight is (I, O)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.nf = linear.out_features
        self.weight = nn.Parameter(linear.weight.detach().T.contiguous())
        self.bias = nn.Parameter(linear.bias.detach().clone())

    def forward(self, data: Tensor) -> Tensor:
        return torch.addmm(self.bias, data, self.weight)


def transposed_perceptron() -> nn.Sequential:
    return nn.Sequential(*(Conv1D(at) if isinstance(at, nn.Linear) else at for at in perceptron()))


@methods
def test_a_conv1d_is_searched_like_a_linear(method: dict[str, Any]) -> None:
    models = [perceptron(), transposed_perceptron()]
    sparsifiers = [
        sparsify(model, "2:4", skip="4", overrides={"2": "1:4"}, **method) for model in models
    ]
    for model, sparsifier in zip(models, sparsifiers, strict=True):
        optimizer = sgd(model)
        for epoch in range(4):
            train(model, optimizer, 2, seed=epoch)
            sparsifier.follow(Schedule(end=3), epoch + 1, optimizer)
    linear, transposed = sparsifiers
    for name, layer in linear.layers.items():
        assert transposed.layers[name].shape == layer.shape
        assert torch.equal(transposed.live(name), linear.live(name))
        assert torch.equal(transposed.mask(name), linear.mask(name).T)
    torch.testing.assert_close(models[1](images()), models[0](images()))
    plain = transposed.dense_state_dict()
    transposed.finalize(hold=True)
    assert list(models[1].state_dict()) == list(plain) == list(transposed_perceptron().state_dict())
    train(models[1], sgd(models[1]))
    for name, pattern in (("0", Pattern(2, 4)), ("2", Pattern(1, 4))):
        assert check(models[1].get_parameter(f"{name}.weight").T, pattern).valid


@methods
def test_state_dicts_of_transposed_layers_resume(method: dict[str, Any]) -> None:
    model, other = transposed_perceptron(), transposed_perceptron()
    sparsifier, again = (sparsify(at, "2:4", skip="4", **method) for at in (model, other))
    train(model, sgd(model))
    sparsifier.remove(2)
    other.load_state_dict(model.state_dict())
    for name in sparsifier.layers:
        assert torch.equal(again.mask(name), sparsifier.mask(name))
    torch.testing.assert_close(other(images()), model(images()))


@methods
def test_transposed_convolutions_and_attention_end_sparse(method: dict[str, Any]) -> None:
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Conv2d(3, 8, 3, padding=1)
            self.up = nn.ConvTranspose2d(8, 16, 2, stride=2)
            self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
            self.head = nn.Linear(16, 4)

        def forward(self, data: Tensor) -> Tensor:
            tokens = self.up(self.stem(data)).flatten(2).movedim(1, 2)
            tokens = self.attention(tokens, tokens, tokens, need_weights=False)[0]
            logits: Tensor = self.head(tokens.mean(1))
            return logits

    model, data = Net(), torch.randn(2, 3, 4, 4)
    sparsifier = sparsify(model, "2:4", example_inputs=data, **method)
    assert set(sparsifier.layers) == {"up", "attention.in_proj_weight", "attention.out_proj"}
    assert sparsifier.layers["up"].shape == (16, 8, 2, 2)
    optimizer = sgd(model)
    for live in (3, 1):
        model(data).square().sum().backward()
        optimizer.step()
        sparsifier.remove(live, optimizer)
    expected = model(data)
    assert sparsifier.finalize() is model
    torch.testing.assert_close(model(data), expected)
    for weight in (model.up.weight.movedim(0, 1), model.attention.in_proj_weight):
        assert check(weight, Pattern(2, 4)).density == 0.5


def test_a_copy_knows_which_weights_are_transposed() -> None:
    model = transposed_perceptron()
    sparsify(model, "2:4", skip="4")
    again = Sparsifier.of(copy.deepcopy(model))
    assert list(again.layers) == ["0", "2"]
    plain = again.finalize()
    for name in ("0", "2"):
        weight = plain.get_parameter(f"{name}.weight")
        found = check(weight.T, Pattern(2, 4))
        assert found.valid and found.density == 0.5
