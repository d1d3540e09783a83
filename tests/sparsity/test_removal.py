"""Removal keeps the best combinations of every block, for good, or changes nothing."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch

from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify
from tests.sparsity.searches import Form, assert_same, both_forms, half_way, net, sgd, steps


@both_forms
def test_removal_keeps_the_best_and_the_mask_is_their_union(form: Form) -> None:
    _, sparsifier, _ = half_way(form, live=6)
    scores = {name: sparsifier.scores(name) for name in sparsifier.layers}
    sparsifier.remove(2)
    for name, at in sparsifier.layers.items():
        blocks = at.pattern.to_blocks(sparsifier.dense_weight(name).detach().abs().double())
        by_size = blocks[:, at.pattern.members].sum(dim=2).argsort(dim=1, descending=True)
        ranks = scores[name].gather(1, by_size).argsort(dim=1, descending=True, stable=True)
        best = by_size.gather(1, ranks)[:, :2]
        live = torch.zeros_like(scores[name], dtype=torch.bool).scatter_(1, best, True)
        assert torch.equal(sparsifier.live(name), live)
        held = live.float() @ at.pattern.incidence().float() > 0
        assert torch.equal(sparsifier.mask(name), at.pattern.from_blocks(held, at.shape))
        assert torch.equal(sparsifier.scores(name) == -torch.inf, ~live)
        assert torch.equal(at.winners(), scores[name].masked_fill(~live, -torch.inf).argmax(dim=1))
        assert at.live_count == 2


@both_forms
def test_removing_again_changes_nothing_and_more_never_come_back(form: Form) -> None:
    model, sparsifier, optimizer = half_way(form)
    steps(model, optimizer, 1)
    scores = sparsifier.layers["3"].score_parameter().requires_grad_(False)
    before, momentum = copy.deepcopy((model.state_dict(), optimizer.state[scores]))
    for live in (3, 4, 6, 100):
        sparsifier.remove(live, optimizer)
        assert_same(model.state_dict(), before)
        assert_same(optimizer.state[scores], momentum)


@both_forms
@pytest.mark.parametrize("live", [0, -1])
def test_removing_all_is_refused(form: Form, live: int) -> None:
    model, sparsifier, _ = half_way(form)
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match="keep at least 1"):
        sparsifier.remove(live)
    assert_same(model.state_dict(), before)


@both_forms
@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_a_score_that_is_not_finite_stops_removal_in_every_layer(form: Form, bad: float) -> None:
    model, sparsifier, optimizer = half_way(form)
    with torch.no_grad():
        sparsifier.layers["5"].score_parameter()[3, 1] = bad
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(FloatingPointError, match="layer '5' is not a finite number"):
        sparsifier.remove(1, optimizer)
    after = model.state_dict()
    for name, value in before.items():
        assert torch.equal(value.nan_to_num(7.0), after[name].nan_to_num(7.0))


def test_state_of_removed_combinations_is_dropped() -> None:
    for make in (sgd, lambda model: torch.optim.Adam(model.parameters())):
        model = net()
        sparsifier = sparsify(model, "2:4")
        optimizer = make(model)
        steps(model, optimizer, 3)
        sparsifier.remove(4, optimizer)
        at = sparsifier.layers["3"]
        state = optimizer.state[at.score_parameter()]
        kept = [value for value in state.values() if value.shape == at.score_parameter().shape]
        assert kept
        for value in kept:
            assert bool((value[~at.live()] == 0).all())
            assert bool((value[at.live()] != 0).any())
        sparsifier.remove(1, optimizer)
        assert at.score_parameter() not in optimizer.state


@both_forms
def test_a_decided_search_is_frozen_and_costs_nothing(form: Form) -> None:
    model, sparsifier, optimizer = half_way(form, live=1)
    assert not sparsifier.searching
    parameter = sparsifier.layers["3"].score_parameter()
    assert not parameter.requires_grad and parameter.grad is None
    assert parameter not in optimizer.state
    scores = parameter.detach().clone()
    masks = {name: sparsifier.mask(name) for name in sparsifier.layers}
    weight = model.get_parameter("3.parametrizations.weight.original").detach().clone()
    steps(model, optimizer, 3)
    assert torch.equal(parameter, scores)
    assert all(torch.equal(sparsifier.mask(name), mask) for name, mask in masks.items())
    assert sparsifier.density() == 0.5
    after = model.get_parameter("3.parametrizations.weight.original")
    assert not torch.equal(after[masks["3"]], weight[masks["3"]])


def test_due_says_whether_following_would_remove_anything() -> None:
    sparsifier = sparsify(net(), "2:4", overrides={"5": "1:4"})
    schedule = Schedule("linear", 1, 4)
    assert not sparsifier.due(schedule, 1)
    assert sparsifier.due(schedule, 2)
    sparsifier.follow(schedule, 2)
    assert not sparsifier.due(schedule, 2)
    sparsifier.remove(1)
    assert not sparsifier.due(schedule, 4)


def test_progress_rises_to_one_over_all_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lbc.sparsity.sparse_layer.CHUNK_CELLS", 100)
    sparsifier = sparsify(net(), "2:4", overrides={"5": "1:4"})
    seen: list[float] = []
    sparsifier.remove(3, progress=seen.append)
    cells = 144 * 6 + 128 * 4
    assert seen == sorted(set(seen)) and seen[-1] == 1.0
    assert seen[0] == 16 * 6 / cells
    seen.clear()
    sparsifier.remove(3, progress=seen.append)
    assert seen == []
    sparsifier.remove(1, progress=seen.append)
    assert seen == sorted(set(seen)) and seen[-1] == 1.0


def test_scores_of_a_decided_layer_may_be_anything() -> None:
    sparsifier = sparsify(net(), "2:4")
    sparsifier.pin("3", 0)
    with torch.no_grad():
        sparsifier.layers["3"].score_parameter().fill_(torch.nan)
    sparsifier.remove(2)
    assert sparsifier.layers["5"].live_count == 2


def test_what_removes_nothing_warns_of_nothing() -> None:
    sparsifier = sparsify(net(), "2:4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sparsifier.remove(6)
