"""Combinations can be pinned or banned during a search, exactly and permanently."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from tests.sparsity.searches import FORMS, Form, both_forms, sgd


def sparse_linear(
    form: Form, pattern: str = "2:4", outputs: int = 4
) -> tuple[Sparsifier, nn.Module]:
    torch.manual_seed(0)
    model = nn.Linear(16, outputs).double()
    return sparsify(model, pattern, scores=form), model


def take_steps(
    model: nn.Module, optimizer: torch.optim.Optimizer, count: int, seed: int = 0
) -> None:
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count):
        data = torch.randn(8, 16, generator=generator, dtype=torch.float64)
        optimizer.zero_grad()
        (model(data) - 1).square().mean().backward()
        optimizer.step()


actions = st.one_of(
    st.tuples(st.just("steps"), st.integers(1, 3), st.none()),
    st.tuples(st.just("remove"), st.integers(1, 6), st.none()),
    st.tuples(
        st.sampled_from(["ban", "pin"]), st.integers(0, 5), st.one_of(st.none(), st.integers(0, 15))
    ),
)


def expected(
    live: list[set[int]], action: str, combination: int, block: int | None
) -> list[set[int]] | None:
    """The live sets after an intervention, or None if it is refused."""
    rows = range(len(live)) if block is None else [block]
    only = {combination}
    if action == "ban":
        if all(combination not in live[row] for row in rows) or any(live[r] == only for r in rows):
            return None
        left = {row: live[row] - only for row in rows}
    else:
        if any(combination not in live[row] for row in rows) or all(live[r] == only for r in rows):
            return None
        left = dict.fromkeys(rows, only)
    return [left.get(row, before) for row, before in enumerate(live)]


@settings(max_examples=30)
@given(st.lists(actions, min_size=1, max_size=9))
def test_live_sets_obey_the_rules_in_both_forms(history: list[tuple[str, int, int | None]]) -> None:
    searches = [sparse_linear(form) for form in FORMS]
    optimizers = [sgd(model) for _, model in searches]
    live = [set(range(6)) for _ in range(16)]
    for number, (action, argument, block) in enumerate(history):
        if action == "remove":
            layer = searches[1][0].layers[""]
            weight = searches[1][0].dense_weight("").detach().reshape(16, 4).abs()
            sizes = weight[:, layer.pattern.members].sum(dim=2).tolist()
            for row, scores in enumerate(layer.block_scores(slice(None)).tolist()):
                order = sorted(live[row], key=lambda c: (-scores[c], -sizes[row][c], c))
                live[row] = set(order[:argument])
        elif action != "steps":
            after = expected(live, action, argument, block)
            for (sparsifier, _), optimizer in zip(searches, optimizers, strict=True):
                intervene = sparsifier.ban if action == "ban" else sparsifier.pin
                before = sparsifier.live("").clone()
                if after is None:
                    with pytest.raises(ValueError, match="ombination"):
                        intervene("", argument, block, optimizer)
                    assert torch.equal(sparsifier.live(""), before)
                else:
                    intervene("", argument, block, optimizer)
                    assert_no_state_of_removed(sparsifier, optimizer)
            live = after or live
        for (sparsifier, model), optimizer in zip(searches, optimizers, strict=True):
            if action == "steps" and sparsifier.searching:
                take_steps(model, optimizer, argument, number)
            elif action == "remove":
                sparsifier.remove(argument, optimizer)
            assert_live_sets(sparsifier, live)


def assert_live_sets(sparsifier: Sparsifier, live: list[set[int]]) -> None:
    layer = sparsifier.layers[""]
    assert [set(row.nonzero().flatten().tolist()) for row in sparsifier.live("")] == live
    unions = [{j for c in row for j in layer.pattern.members[c].tolist()} for row in live]
    kept = layer.pattern.to_blocks(sparsifier.mask(""))
    assert [set(row.nonzero().flatten().tolist()) for row in kept] == unions
    assert layer.live_count == max(map(len, live))
    assert layer.searching == (layer.live_count > 1)
    assert all(at.requires_grad == layer.searching for at in layer.score_parameters())
    assert all(int(won) in row for won, row in zip(layer.winners(), live, strict=True))


def assert_no_state_of_removed(sparsifier: Sparsifier, optimizer: torch.optim.SGD) -> None:
    scores = sparsifier.layers[""].score_parameter()
    momentum = optimizer.state.get(scores, {}).get("momentum_buffer")
    if not scores.requires_grad:
        assert momentum is None
    elif momentum is not None and momentum.shape == sparsifier.live("").shape:
        assert not momentum[~sparsifier.live("")].any()


@both_forms
def test_a_banned_combination_counts_towards_the_next_removal(form: Form) -> None:
    sparsifier, model = sparse_linear(form)
    optimizer = sgd(model)
    take_steps(model, optimizer, 2)
    sparsifier.remove(4, optimizer)
    best = sparsifier.layers[""].winners()
    sparsifier.ban("", int(best[5]), 5, optimizer)
    counts = []
    for live in (4, 3, 2, 1):
        take_steps(model, optimizer, 2)
        sparsifier.remove(live, optimizer)
        counts.append(sparsifier.live("").sum(dim=1).tolist())
        assert not sparsifier.live("")[5, best[5]]
    others = [[live] * 16 for live in (4, 3, 2, 1)]
    others[0][5] = 3
    assert counts == others


@both_forms
def test_a_pinned_combination_wins_regardless_of_its_score(form: Form) -> None:
    sparsifier, model = sparse_linear(form)
    optimizer = sgd(model)
    take_steps(model, optimizer, 3)
    worst = int(sparsifier.scores("")[7].argmin())
    sparsifier.pin("", worst, 7, optimizer)
    for epoch in range(6):
        take_steps(model, optimizer, 3)
        sparsifier.follow(Schedule(end=5), epoch + 1, optimizer)
        assert sparsifier.live("")[7].nonzero().flatten().tolist() == [worst]
    members = sparsifier.layers[""].pattern.members[worst].tolist()
    sparsifier.finalize()
    weight = model.weight
    assert isinstance(weight, Tensor)
    assert weight.reshape(16, 4)[7].nonzero().flatten().tolist() == members
    assert check(weight, Pattern(2, 4)).valid


@both_forms
def test_a_whole_layer_can_be_decided_by_interventions(form: Form) -> None:
    sparsifier, model = sparse_linear(form)
    optimizer = sgd(model)
    take_steps(model, optimizer, 2)
    sparsifier.ban("", 0, None, optimizer)
    assert sparsifier.live("").sum(dim=1).tolist() == [5] * 16
    sparsifier.pin("", 3, None, optimizer)
    assert not sparsifier.searching
    assert sparsifier.density() == 0.5
    take_steps(model, optimizer, 2)  # training continues with frozen scores


@both_forms
def test_an_uneven_search_survives_copies_and_state_dicts(form: Form) -> None:
    sparsifier, model = sparse_linear(form)
    optimizer = sgd(model)
    take_steps(model, optimizer, 2)
    sparsifier.pin("", 2, 0, optimizer)  # block 0 differs from the others
    twin = copy.deepcopy(sparsifier)
    other, fresh = sparse_linear(form)
    fresh.load_state_dict(model.state_dict())
    for one in (sparsifier, twin, other):
        assert one.layers[""].live_count == 6
        assert one.searching
        one.remove(2)
        assert one.live("").sum(dim=1).tolist() == [1] + [2] * 15


@both_forms
def test_interventions_work_for_patterns_of_many_combinations(form: Form) -> None:
    sparsifier, _ = sparse_linear(form, "3:8")
    sparsifier.ban("", 40, 1)
    sparsifier.remove(55)
    counts = sparsifier.live("").sum(dim=1).tolist()
    assert counts == [55] * 8
    sparsifier.pin("", int(sparsifier.live("")[3].nonzero()[-1]), 3)
    assert sparsifier.live("").sum(dim=1).tolist() == [55, 55, 55, 1, 55, 55, 55, 55]


@pytest.mark.parametrize(
    ("method", "name", "combination", "block", "text"),
    [
        ("lbc", "nine", 0, None, "no sparse layer 'nine': the layers are "),
        ("lbc", "", 6, None, "no combination 6: it has 6"),
        ("lbc", "", -1, 0, "no combination -1"),
        ("lbc", "", 0, 16, "no block 16: it has 16"),
        ("lbc", "", 0, -1, "no block -1"),
        ("sr-ste", "", 0, 0, "only the method lbc"),
        ("dense", "", 0, 0, "only the method lbc"),
    ],
)
@pytest.mark.parametrize("action", ["pin", "ban"])
def test_unknown_layers_combinations_and_blocks_are_refused(
    action: str, method: str, name: str, combination: int, block: int | None, text: str
) -> None:
    sparsifier = sparsify(nn.Linear(16, 4), "2:4", method=method)
    intervene = sparsifier.pin if action == "pin" else sparsifier.ban
    with pytest.raises(ValueError, match=text) as caught:
        intervene(name, combination, block)
    assert str(caught.value).endswith(".")


def test_impossible_interventions_are_refused() -> None:
    sparsifier, _ = sparse_linear("per_weight")
    sparsifier.ban("", 4, 3)
    with pytest.raises(ValueError, match="was removed in block 3 of layer '' already"):
        sparsifier.ban("", 4, 3)
    with pytest.raises(ValueError, match="was removed in block 3 of layer '' already"):
        sparsifier.pin("", 4, 3)
    with pytest.raises(ValueError, match=r"was removed in 1 blocks of .* never returns: pin"):
        sparsifier.pin("", 4)
    sparsifier.pin("", 1, 2)
    with pytest.raises(ValueError, match="has won already in block 2"):
        sparsifier.pin("", 1, 2)
    with pytest.raises(ValueError, match="is the last one live in block 2"):
        sparsifier.ban("", 1, 2)
    with pytest.raises(ValueError, match="is the last one live in 1 blocks of"):
        sparsifier.ban("", 1)
