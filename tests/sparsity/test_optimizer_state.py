"""Scores that no optimiser trains are an error with its remedy, not arbitrary masks."""

from __future__ import annotations

import copy
import re
import warnings
from typing import Any

import pytest
import torch

from lbc import Schedule, sparsify
from tests.sparsity.networks import images, perceptron, sgd, train


def test_an_optimizer_built_before_sparsify_is_refused_and_the_remedy_works() -> None:
    model = perceptron()
    optimizer = sgd(model)
    sparsifier = sparsify(model, "2:4")
    train(model, optimizer)
    with pytest.raises(ValueError, match=re.escape("scores of layer '0' and 1 more")) as refused:
        sparsifier.follow(Schedule(end=3), 1, optimizer)
    assert sparsifier.layers["0"].live_count == 6
    assert "optimizer.add_param_group({'params': sparsifier.score_parameters()})" in str(refused)

    optimizer.add_param_group({"params": sparsifier.score_parameters()})
    train(model, optimizer)
    sparsifier.follow(Schedule(end=3), 3, optimizer)
    assert len(set(sparsifier.layers["0"].winners().tolist())) > 1


@pytest.mark.parametrize("scores", ["per_weight", "per_combination"])
@pytest.mark.parametrize("trained", [True, False], ids=["without-scores", "untouched"])
@pytest.mark.parametrize("removal", ["remove", "follow", "finalize"])
def test_layers_whose_scores_never_changed_are_named(
    scores: Any, trained: bool, removal: str
) -> None:
    model = perceptron()
    optimizer = sgd(model)
    sparsifier = sparsify(model, "2:4", scores=scores)
    if trained:
        train(model, optimizer)
    with pytest.warns(UserWarning, match="No score of layer '0', '2' has ever been") as warned:
        match removal:
            case "remove":
                sparsifier.remove(3)
            case "follow":
                sparsifier.follow(Schedule(end=3), 1)
            case _:
                sparsifier.finalize()
    assert warned[0].filename == __file__


def test_only_the_layers_that_never_learned_are_named() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    optimizer = sgd(model)
    for step in range(3):
        optimizer.zero_grad()
        with torch.no_grad():
            hidden = model[:2](images(seed=step))
        model[2:](hidden).square().mean().backward()
        optimizer.step()
    with pytest.warns(UserWarning, match="No score of layer '0' has ever been updated"):
        sparsifier.remove(3)


@pytest.mark.parametrize("method", ["asp", "sr-ste", "dense"])
def test_methods_without_scores_are_not_named(method: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sparsify(perceptron(), "2:4", method=method).finalize()


def test_an_optimizer_of_other_layers_alone_is_refused() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    with pytest.raises(ValueError, match="does not train the scores of layer '0'"):
        sparsifier.remove(3, torch.optim.SGD(model[4].parameters(), lr=0.1))


def test_one_layer_without_its_scores_is_enough_to_be_refused() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    scores = sparsifier.layers["2"].score_parameter()
    optimizer = torch.optim.SGD((one for one in model.parameters() if one is not scores), lr=0.1)
    with pytest.raises(ValueError, match=re.escape("scores of layer '2': build")):
        sparsifier.remove(3, optimizer)


def test_layers_that_an_optimizer_does_not_train_at_all_may_have_another() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    sparsifier.remove(3, torch.optim.SGD(model[0].parameters(), lr=0.1))
    assert sparsifier.layers["2"].live_count == 3


def test_the_only_layer_must_be_trained() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", skip="2")
    with pytest.raises(ValueError, match=re.escape("scores of layer '0': build")):
        sparsifier.remove(3, torch.optim.SGD(model[4].parameters(), lr=0.1))


def test_once_all_is_decided_any_optimizer_will_do() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    sparsifier.remove(1)
    sparsifier.remove(1, torch.optim.Adam(model[4].parameters()))
    assert not sparsifier.searching


def test_frozen_layers_need_no_trained_scores() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    model[0].requires_grad_(False)
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    train(model, optimizer)
    sparsifier.remove(3, optimizer)
    assert sparsifier.layers["2"].live_count == 3


def test_a_users_freezing_outlasts_removals() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    model.requires_grad_(False)
    sparsifier.remove(3)
    assert not any(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
def test_other_optimizers_than_sgd_make_per_weight_scores_inexact(
    kind: type[torch.optim.Optimizer],
) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", scores="per_weight")
    optimizer = kind(model.parameters())  # type: ignore[call-arg]
    train(model, optimizer)
    with pytest.warns(UserWarning, match=f"exact under SGD only; under {kind.__name__}") as warned:
        sparsifier.follow(Schedule(end=3), 1, optimizer)
    assert warned[0].filename == __file__
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # once is enough
        sparsifier.follow(Schedule(end=3), 2, optimizer)


@pytest.mark.parametrize("scores", ["per_combination", "auto"])
def test_scores_per_combination_are_exact_under_adam(scores: str) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", scores=scores)  # type: ignore[arg-type]
    optimizer = torch.optim.Adam(model.parameters())
    train(model, optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sparsifier.follow(Schedule(end=3), 1, optimizer)


def test_the_optimizer_is_remembered_and_its_state_dropped() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    optimizer = sgd(model)
    train(model, optimizer)
    sparsifier.follow(schedule := Schedule(end=3), 1, optimizer)
    assert (sparsifier.schedule, sparsifier.optimizer) == (schedule, optimizer)
    sparsifier.remove(1)
    assert not any(scores in optimizer.state for scores in sparsifier.score_parameters())


def test_clipping_without_the_scores_keeps_the_two_forms_equal() -> None:
    winners = []
    for scores in ("per_weight", "per_combination"):
        model = perceptron().double()
        sparsifier = sparsify(model, "2:4", scores=scores)
        optimizer = sgd(model)
        own = {id(one) for one in sparsifier.score_parameters()}
        clipped = [one for one in model.parameters() if id(one) not in own]
        for step in range(12):
            optimizer.zero_grad()
            data = torch.randn(8, 16, generator=torch.Generator().manual_seed(step)).double()
            model(data).square().sum().backward()
            torch.nn.utils.clip_grad_norm_(clipped, 1e-2)
            optimizer.step()
        sparsifier.remove(1, optimizer)
        winners.append([layer.winners() for layer in sparsifier.layers.values()])
    for one, other in zip(*winners, strict=True):
        assert torch.equal(one, other)


def test_a_users_freezing_outlasts_a_decided_search_and_an_earlier_state() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    early = copy.deepcopy(model.state_dict())
    scores = sparsifier.score_parameters()
    sparsifier.remove(1)
    model.load_state_dict(early)
    assert all(one.requires_grad for one in scores)
    model.requires_grad_(False)
    layer = sparsifier.layers["0"]
    for live in (5, 1):
        layer.remove(live)
        assert not layer.score_parameter().requires_grad
    model.load_state_dict(early)
    assert not any(one.requires_grad for one in scores)


def test_a_ban_clears_what_the_optimizer_keeps_of_the_combination() -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4")
    assert sparsifier.schedule is None and sparsifier.optimizer is None
    optimizer = sgd(model)
    train(model, optimizer)
    layer = sparsifier.layers["0"]
    sparsifier.ban("0", 3, block=5, optimizer=optimizer)
    momentum = optimizer.state[layer.score_parameter()]["momentum_buffer"]
    assert momentum[5, 3] == 0 and momentum[5, 2] != 0 and momentum[4, 3] != 0
    assert sparsifier.optimizer is optimizer


def test_one_block_can_be_untrained_and_one_row_alone_does_not_make_a_layer_so() -> None:
    with pytest.warns(UserWarning, match="No score of layer '' has ever been updated"):
        sparsify(torch.nn.Linear(4, 1), "2:4").remove(3)
    sparsifier = sparsify(torch.nn.Linear(4, 2), "2:4")
    with torch.no_grad():
        sparsifier.layers[""].score_parameter()[1, 2] += 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sparsifier.remove(3)


def test_an_optimizer_may_be_wrapped_as_accelerate_does() -> None:
    class Wrapped(torch.optim.Optimizer):
        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            self.optimizer = optimizer
            self.param_groups, self.state = optimizer.param_groups, optimizer.state

    model = perceptron()
    sparsifier = sparsify(model, "2:4", scores="per_weight")
    optimizer = sgd(model)
    train(model, optimizer)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sparsifier.remove(3, Wrapped(optimizer))
    with pytest.warns(UserWarning, match="under SGD only; under Adam they"):
        sparsifier.remove(2, Wrapped(torch.optim.Adam(model.parameters())))
