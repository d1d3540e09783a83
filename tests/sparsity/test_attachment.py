"""What attaching layers to a model's weights leaves as it was."""

from __future__ import annotations

import copy

import torch
from torch import nn

from lbc import Sparsifier, sparsify
from tests.sparsity.networks import perceptron, weight_of


def test_the_sparsifier_of_a_copy_finds_weights_in_their_own_order() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 8, 3), nn.Conv2d(8, 4, 1), nn.Conv2d(4, 4, 1)
    )
    sparsifier = sparsify(model, "2:4")
    sparsifier.remove(1)
    found = Sparsifier.of(copy.deepcopy(model))
    assert list(found.layers) == list(sparsifier.layers) == ["1", "2", "3"]
    for name in found.layers:
        assert torch.equal(found.mask(name), sparsifier.mask(name))
        assert found.mask(name).shape == weight_of(model, name).shape


def test_parameters_added_later_come_after_those_that_were_there() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    model[2].register_parameter("gain", nn.Parameter(torch.ones(1)))
    model[2].register_parameter("shift", nn.Parameter(torch.zeros(1)))
    sparsifier.finalize()
    assert [name for name, _ in model[2].named_parameters()] == ["weight", "bias", "gain", "shift"]


def test_a_state_dict_without_a_layer_leaves_the_layer() -> None:
    model = perceptron()
    sparsify(model, "2:4")
    before = {key: value.clone() for key, value in model.state_dict().items()}
    missing, _ = model.load_state_dict({"0.bias": torch.ones(16)}, strict=False)
    absent = {key for key in before if not key.endswith(".identity")}  # as in version 0.1.0
    assert set(missing) == absent - {"0.bias"}
    for key, value in model.state_dict().items():
        assert torch.equal(value, torch.ones(16) if key == "0.bias" else before[key])


def test_of_a_sparse_and_a_plain_weight_the_sparse_one_is_loaded() -> None:
    model = perceptron()
    sparsify(model, "2:4")
    before = weight_of(model, "0").detach().clone()
    both = model.state_dict() | {"0.weight": torch.zeros(16, 16)}
    assert model.load_state_dict(both, strict=False).unexpected_keys == ["0.weight"]
    assert torch.equal(weight_of(model, "0"), before)
