"""A finalized model is plain, counts as before, and keeps its zeros on request."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from lbc import sparsify
from tests.sparsity.networks import METHODS, images, obeys, perceptron, sgd, train, weight_of

methods = pytest.mark.parametrize("method", METHODS, ids=str)


@methods
def test_density_and_table_survive_finalize(method: dict[str, Any]) -> None:
    sparsifier = sparsify(perceptron(), "2:4", **method)
    table = repr(sparsifier)
    assert "layer  N:M" in table and "the classifier" in table and "2:4" in table
    sparsifier.finalize()
    assert sparsifier.density() == 0.5
    assert "finalized, density 50.0%" in repr(sparsifier)


@methods
def test_parameters_keep_their_order(method: dict[str, Any]) -> None:
    model = perceptron()
    before = [(name, one.shape) for name, one in model.named_parameters()]
    sparsify(model, "2:4", **method).finalize()
    assert [(name, one.shape) for name, one in model.named_parameters()] == before
    fresh = perceptron()
    optimizer, other = sgd(model), sgd(fresh)
    train(model, optimizer)
    other.load_state_dict(optimizer.state_dict())
    vector_to_parameters(parameters_to_vector(model.parameters()), fresh.parameters())
    assert torch.equal(fresh(images()), model(images()))


@methods
@pytest.mark.parametrize("kind", ["sgd", "adamw"])
@pytest.mark.parametrize("copied", [False, True])
def test_zeros_are_held_while_training_continues(
    method: dict[str, Any], kind: str, copied: bool
) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", **method)
    train(model, sgd(model))
    sparsifier.remove(1)
    masks = {name: sparsifier.mask(name) for name in sparsifier.layers}
    sparsifier.finalize(hold=True)
    if copied:
        model = copy.deepcopy(model)
    optimizer = sgd(model) if kind == "sgd" else torch.optim.AdamW(model.parameters(), lr=0.1)
    before = weight_of(model, "2").detach().clone()
    train(model, optimizer, 5)
    for name, mask in masks.items():
        weight = model.get_parameter(f"{name}.weight")
        assert torch.equal(weight != 0, mask) and obeys(weight)
    assert not torch.equal(weight_of(model, "2"), before)


def test_without_hold_zeros_are_trained() -> None:
    model = perceptron()
    sparsify(model, "2:4").finalize()
    train(model, sgd(model))
    assert not obeys(weight_of(model, "2"))


def test_held_zeros_come_back_whatever_fills_them() -> None:
    model = perceptron()
    sparsify(model, "2:4").finalize(hold=True)
    with torch.no_grad():
        weight_of(model, "2").fill_(1.0)
    model.eval()(images())
    assert not obeys(weight_of(model, "2"))
    model.train()(images())
    assert obeys(weight_of(model, "2"))


def test_nothing_of_the_search_is_left_in_a_finalized_model() -> None:
    model = perceptron()
    sparsify(model, "2:4").finalize()
    assert all(type(module).__module__.startswith("torch.nn") for module in model.modules())
    assert not any(module._load_state_dict_pre_hooks for module in model.modules())


def test_a_model_that_is_one_layer_has_the_keys_of_a_plain_one() -> None:
    model = torch.nn.Linear(16, 16)
    sparsifier = sparsify(model, "2:4")
    sparsifier.remove(1)
    assert list(sparsifier.dense_state_dict()) == ["weight", "bias"]
    model.load_state_dict(torch.nn.Linear(16, 16).state_dict())
    sparsifier.finalize(hold=True)
    assert list(model.state_dict()) == ["weight", "bias"] and obeys(model.weight)


def test_zeros_are_held_where_only_parts_of_the_model_are_called() -> None:
    model = perceptron()
    sparsify(model, "2:4").finalize(hold=True)
    optimizer = sgd(model)
    for _ in range(3):
        optimizer.zero_grad()
        model[2](model[1](model[0](images()))).square().mean().backward()
        optimizer.step()
    assert obeys(weight_of(model, "0")) and obeys(weight_of(model, "2"))


def test_the_table_names_the_model_itself_and_gives_each_density() -> None:
    model = torch.nn.Linear(8, 4)
    sparsifier = sparsify(model, "2:4")
    assert str(sparsifier).splitlines() == [
        "Sparsifier (method lbc, density 100.0%)",
        "layer    N:M  live    density",
        "(model)  2:4  6 of 6  100.0%",
    ]
    sparsifier.remove(1)
    assert str(sparsifier).splitlines()[2] == "(model)  2:4  1 of 6  50.0%"
    skipping = sparsify(perceptron(), "2:4", skip="0")
    assert str(skipping).splitlines()[-2].split() == ["0", "dense", "skipped", "on", "request"]
    model.inner = torch.nn.Linear(8, 8)
    skipping = sparsify(sparsifier.finalize(), "2:4", overrides={"": "dense", "inner": "2:4"})
    assert str(skipping).splitlines()[-1].split()[:2] == ["(model)", "dense"]
