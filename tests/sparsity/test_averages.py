"""Averages of a model's weights have the masks of the model, whatever is removed meanwhile."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lbc import Schedule, Sparsifier, sparsify
from tests.sparsity.networks import METHODS, images, obeys, perceptron, sgd, train, weight_of


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("use_buffers", [False, True])
@pytest.mark.parametrize("decay", [None, 0.9])
def test_an_averaged_model_obeys_the_live_mask(
    method: dict[str, Any], use_buffers: bool, decay: float | None
) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", **method)
    optimizer = sgd(model)
    average = AveragedModel(
        model,
        multi_avg_fn=get_ema_multi_avg_fn(decay) if decay else None,  # type: ignore[no-untyped-call]
        use_buffers=use_buffers,
    )
    for epoch in range(4):
        train(model, optimizer, 2, seed=epoch)
        sparsifier.follow(Schedule(end=3), epoch + 1, optimizer)
        average.update_parameters(model)
    for name in sparsifier.layers:
        weight = weight_of(average.module, name)
        assert obeys(weight) and weight.count_nonzero() / weight.numel() == 0.5
        if method.get("method") != "sr-ste":  # which chooses by the averaged weights
            assert torch.equal(weight.bool(), sparsifier.mask(name))


def test_the_average_has_a_removal_that_comes_after_its_last_update() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    average = AveragedModel(model)
    average.update_parameters(model)
    sparsifier.ban("0", 2, block=7)
    sparsifier.remove(1)
    averaged = Sparsifier.of(average.module)
    assert torch.equal(averaged.mask("0"), sparsifier.mask("0")) and not averaged.searching


def test_an_averaged_model_can_be_made_plain() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    optimizer = sgd(model)
    average = AveragedModel(model)
    train(model, optimizer)
    average.update_parameters(model)
    sparsifier.remove(1, optimizer)
    expected = average(images())
    plain = Sparsifier.of(average.module).finalize()
    assert list(plain.state_dict()) == list(perceptron().state_dict())
    torch.testing.assert_close(plain(images()), expected)
    assert sparsifier.searching is False and "0" in sparsifier.layers


def test_a_plain_copy_keeps_its_own_mask() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    snapshot = copy.deepcopy(model)
    torch.nn.Sequential(snapshot)
    sparsifier.remove(1)
    assert Sparsifier.of(snapshot).density() == 1.0
    assert sparsifier.density() == 0.5


def test_a_model_without_sparse_layers_has_no_sparsifier() -> None:
    with pytest.raises(ValueError, match=r"call sparsify\(model"):
        Sparsifier.of(perceptron())


def test_a_copy_of_the_model_does_not_lead_its_average() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    average = AveragedModel(model)
    Sparsifier.of(copy.deepcopy(model)).remove(1)
    assert Sparsifier.of(average.module).density() == 1.0
    sparsifier.remove(1)
    assert Sparsifier.of(average.module).density() == 0.5
