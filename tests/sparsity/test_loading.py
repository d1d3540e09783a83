"""State dicts of plain and sparse models, and of the sparsifier, go from one to the other."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from lbc import sparsify
from tests.sparsity.networks import (
    METHODS,
    images,
    perceptron,
    search_to_the_end,
    sgd,
    train,
    weight_of,
)

methods = pytest.mark.parametrize("method", METHODS, ids=str)


def other_weights() -> nn.Sequential:
    model = perceptron()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    return model


@methods
def test_a_sparse_model_loads_a_dense_checkpoint_and_keeps_its_search(
    method: dict[str, Any],
) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", **method)
    optimizer = sgd(model)
    train(model, optimizer)
    sparsifier.remove(3, optimizer)
    scores = [one.detach().clone() for one in sparsifier.score_parameters()]
    live = [layer.live_count for layer in sparsifier.layers.values()]
    dense = other_weights()
    missing, unexpected = model.load_state_dict(dense.state_dict())
    assert not missing and not unexpected
    assert torch.equal(sparsifier.dense_weight("2"), weight_of(dense, "2"))
    assert torch.equal(weight_of(model, "4"), weight_of(dense, "4"))
    assert [layer.live_count for layer in sparsifier.layers.values()] == live
    for now, then in zip(sparsifier.score_parameters(), scores, strict=True):
        assert torch.equal(now, then)


@methods
def test_a_plain_model_loads_the_dense_state_dict(method: dict[str, Any]) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", **method)
    search_to_the_end(model, sparsifier, sgd(model))
    plain = other_weights()
    plain.load_state_dict(sparsifier.dense_state_dict())
    torch.testing.assert_close(plain(images()), model(images()))
    assert list(model.state_dict()) != list(plain.state_dict())
    sparsifier.finalize()
    for key, value in model.state_dict().items():
        assert torch.equal(value, plain.state_dict()[key])


def test_a_finalized_model_does_not_take_sparse_checkpoints_silently() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    state = copy.deepcopy(model.state_dict())
    sparsifier.finalize()
    with pytest.raises(RuntimeError, match="Unexpected key"):
        model.load_state_dict(state)


@methods
def test_the_sparsifiers_state_is_enough_for_its_search(method: dict[str, Any]) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", overrides={"2": "1:4"}, **method)
    optimizer = sgd(model)
    train(model, optimizer)
    sparsifier.remove(2, optimizer)
    other = perceptron()
    again = sparsify(other, "2:4", overrides={"2": "1:4"}, **method)
    other.load_state_dict(sparsifier.dense_state_dict())
    again.load_state_dict(copy.deepcopy(sparsifier.state_dict()))
    for name, layer in sparsifier.layers.items():
        assert torch.equal(layer.scores(), again.scores(name)) or method.get("method")
        assert torch.equal(layer.live(), again.live(name))
        assert torch.equal(sparsifier.mask(name), again.mask(name))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"pattern": "1:4"}, "'0' is '2:4 lbc per_combination' .* '1:4 lbc per_combination' here"),
        ({"method": "asp"}, "'2:4 lbc per_combination' in the state and '2:4 asp' here"),
        ({"skip": "2"}, "Layer '2' is not sparse in this model"),
        ({"scores": "per_weight"}, "Layer '0' is .* in the state and '2:4 lbc per_weight' here"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_whole(change: dict[str, Any], said: str) -> None:
    trained = sparsify(perceptron(), "2:4")
    trained.remove(1)
    arguments: dict[str, Any] = {"pattern": "2:4"} | change
    other = sparsify(perceptron(), arguments.pop("pattern"), **arguments)
    before = copy.deepcopy(other.model.state_dict())
    with pytest.raises(ValueError, match=said):
        other.load_state_dict(trained.state_dict())
    for key, value in other.model.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda state: state.clear(), "Layer '0' is not sparse in the state."),
        (lambda state: state.update(epoch=torch.zeros(1)), "This is no state of a Sparsifier"),
        (lambda state: state.pop("2"), "Layer '2' is not sparse in the state."),
        (
            lambda state: state["0"].update(packed=torch.zeros(3)),
            "Layer '0': packed of shape (3,) does not fit.",
        ),
        (
            lambda state: state["2"].update(mask=torch.zeros(3, 2)),
            "Layer '2': mask of shape (3, 2) does not fit.",
        ),
        (
            lambda state: state["2"].pop("all_scores"),
            "Layer '2': all_scores is missing from the state or the layer.",
        ),
        (
            lambda state: state["2"].update(more=torch.zeros(3)),
            "Layer '2': more is missing from the state or the layer.",
        ),
    ],
)
def test_a_damaged_state_is_refused_by_what_is_wrong(
    change: Callable[[dict[str, Any]], object], said: str
) -> None:
    sparsifier = sparsify(perceptron(), "2:4")
    state = copy.deepcopy(sparsifier.state_dict())
    change(state)
    with pytest.raises(ValueError, match=re.escape(said)):
        sparsifier.load_state_dict(state)


def test_live_sets_of_another_shape_are_refused() -> None:
    model = perceptron()
    state = copy.deepcopy(sparsify(perceptron(), "4:8").model.state_dict())
    sparsify(model, "2:4", scores="per_weight")
    with pytest.raises(RuntimeError):
        model.load_state_dict(state)
    state = copy.deepcopy(model.state_dict())
    state["0.parametrizations.weight.0.packed"] = torch.tensor([7, 3], dtype=torch.int32)
    with pytest.raises(RuntimeError, match="layer '0' under 2:4: live sets of shape"):
        model.load_state_dict(state)


def test_a_mask_of_another_shape_is_refused_with_both_shapes() -> None:
    model = perceptron()
    sparsify(model, "2:4", scores="per_weight")
    state = copy.deepcopy(model.state_dict())
    state["0.parametrizations.weight.0.mask"] = torch.ones(4, 4, dtype=torch.bool)
    said = (
        r"layer '0' under 2:4: a mask of shape \(4, 4\) does not fit a weight of shape \(16, 16\)"
    )
    with pytest.raises(RuntimeError, match=said):
        model.load_state_dict(state)


@pytest.mark.parametrize("absent", ["packed", "mask"])
def test_a_search_is_loaded_whole_or_not_at_all(absent: str) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    sparsifier.remove(2)
    before = {name: sparsifier.live(name) for name in sparsifier.layers}
    state = copy.deepcopy(sparsify(perceptron(), "2:4").model.state_dict())
    key = f"0.parametrizations.weight.0.{absent}"
    del state[key]
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == [key] and unexpected == []
    assert torch.equal(sparsifier.live("0"), before["0"])
    assert sparsifier.layers["2"].live_count == 6
    with pytest.raises(RuntimeError, match=f"Missing key.*{key}"):
        model.load_state_dict(state)


def test_absent_scores_are_named() -> None:
    model = perceptron()
    sparsify(model, "2:4")
    state = copy.deepcopy(model.state_dict())
    key = "0.parametrizations.weight.0.all_scores"
    del state[key]
    assert model.load_state_dict(state, strict=False).missing_keys == [key]


@pytest.mark.parametrize("stored", ["state_dict", "dense_state_dict"])
def test_what_sr_ste_stores_is_the_mask_of_the_present_weights(stored: str) -> None:
    sparsifier = sparsify(perceptron(), "2:4", method="sr-ste")
    with torch.no_grad():
        sparsifier.dense_weight("0").copy_(torch.randn(16, 16))
    size = sparsifier.dense_weight("0").detach().abs().reshape(-1, 4)
    largest = torch.zeros_like(size).scatter_(1, size.topk(2, dim=1).indices, 1.0).bool()
    if stored == "state_dict":
        mask = sparsifier.state_dict()["0"]["mask"]
    else:
        mask = sparsifier.dense_state_dict()["0.weight"] != 0
    assert torch.equal(mask.reshape(-1, 4), largest)
