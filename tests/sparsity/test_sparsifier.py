"""A model can be made sparse in place, looked into, copied, saved, and made plain again."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lbc.sparsity.compliance import check
from lbc.sparsity.method_names import method_names
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from tests.sparsity.searches import Form, assert_same, both_forms, half_way, net, saved, sgd, steps


def test_the_library_in_ten_lines() -> None:
    import lbc

    model = net()
    sparsifier = lbc.sparsify(model, "2:4", scores="per_weight")
    optimizer = sgd(model)
    for epoch in range(4):
        steps(model, optimizer, 2)
        sparsifier.follow(lbc.Schedule(end=3), epoch + 1, optimizer)
    assert sparsifier.finalize() is model
    assert all(check(model.get_submodule(at).weight, Pattern(2, 4)).valid for at in "35")  # type: ignore[arg-type]


def test_the_function_is_not_hidden_by_the_module_of_its_name() -> None:
    import lbc
    from lbc import Pattern, Schedule, Sparsifier, sparsify

    assert callable(sparsify) and lbc.sparsify is sparsify
    assert (Pattern.__module__, Schedule.__module__) == (
        "lbc.sparsity.pattern",
        "lbc.sparsity.schedule",
    )
    assert Sparsifier.__module__ == "lbc.sparsity.sparsifier"
    with pytest.raises(AttributeError, match="no attribute 'sparsifyer'"):
        lbc.sparsifyer  # noqa: B018


@both_forms
def test_layers_and_reasons_are_listed(form: Form) -> None:
    sparsifier = sparsify(net(), "2:4", scores=form, overrides={"5": "1:4"})
    assert {name: str(at.pattern) for name, at in sparsifier.layers.items()} == {
        "3": "2:4",
        "5": "1:4",
    }
    assert sparsifier.skipped == {
        "0": "the first convolution, by order of registration",
        "7": "the classifier, by order of registration",
    }
    assert sparsifier.searching
    assert sparsifier.density() == 1.0
    assert sparsifier.mask("3").shape == (8, 8, 3, 3)
    assert sparsifier.live("5").shape == (16 * 32 // 4, 4)
    with pytest.raises(KeyError):
        sparsifier.scores("0")


def test_auto_is_the_form_that_suits_every_optimizer() -> None:
    assert (
        "parametrizations.weight.0.all_scores"
        in sparsify(nn.Linear(8, 8), "2:4").model.state_dict()
    )


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"method": "magic"}, f"choose {', '.join(method_names())}."),
        ({"scores": "none"}, "choose auto, per_weight or per_combination"),
        ({"pattern": "4:4"}, "dense"),
        ({"skip": ["nine"]}, "the layers are 0, 3, 5, 7"),
        ({"memory_limit": 10_000}, "scores='per_weight'"),
        ({"pattern": "8:16", "overrides": {"3": "2:4"}, "memory_limit": 1 << 20}, "0.01 GiB"),
        ({"pattern": "16:32", "scores": "per_weight", "skip": ["3"]}, "layer '5' .* smaller M"),
        ({"pattern": "8:16", "scores": "per_weight", "skip": ["3"], "memory_limit": 50_000},
         "The live combinations would take"),
        ({"pattern": "1024:2048"}, "smaller M"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_leaves_the_model_alone(
    asked: dict[str, Any], said: str
) -> None:
    model = nn.Sequential(*net(), nn.Linear(5, 5))[:8]
    if asked.get("pattern") == "1024:2048":
        model = nn.Sequential(nn.Linear(2048, 8), nn.Linear(8, 2))
    before = list(model.state_dict())
    with pytest.raises(ValueError, match=said) as caught:
        sparsify(model, asked.pop("pattern", "2:4"), **asked)
    assert str(caught.value).endswith(".")
    assert list(model.state_dict()) == before


@both_forms
@pytest.mark.parametrize("live", [6, 3, 1])
def test_finalize_lets_the_best_win_and_leaves_a_plain_model(form: Form, live: int) -> None:
    model, sparsifier, _ = half_way(form, live)
    model.eval()
    decided = copy.deepcopy(sparsifier)
    decided.remove(1)
    data = torch.randn(4, 3, 6, 6)
    masks = {name: decided.mask(name) for name in sparsifier.layers}
    expected = decided.model(data)
    assert sparsifier.finalize() is model
    assert torch.equal(model(data), expected)
    assert sorted(model.state_dict()) == sorted(net().state_dict())
    assert [type(module) for module in model] == [type(module) for module in net()]
    for name, mask in masks.items():
        weight = model.get_parameter(f"{name}.weight")
        assert torch.equal(weight != 0, mask)
        assert not bool(torch.signbit(weight[~mask]).any())
        assert weight.requires_grad and isinstance(weight, nn.Parameter)
    assert sparsifier.finalize() is model


@both_forms
@pytest.mark.parametrize("live", [6, 3, 1])
def test_a_copy_goes_its_own_way(form: Form, live: int) -> None:
    model, sparsifier, _ = half_way(form, live)
    before = copy.deepcopy(model.state_dict())
    twin = copy.deepcopy(sparsifier)
    assert twin.model is not model
    assert_same(twin.model.state_dict(), before)
    data = torch.randn(2, 3, 6, 6)
    expected = model.eval()(data)
    twin.finalize()
    assert_same(model.state_dict(), before)
    assert torch.equal(model(data), expected)
    assert sparsifier.layers["3"].live_count == live


@both_forms
@pytest.mark.parametrize("live", [6, 3, 1])
def test_a_resumed_search_is_the_same_to_the_last_bit(form: Form, live: int) -> None:
    model, sparsifier, optimizer = half_way(form, live)
    state, optimizer_state = saved(model.state_dict()), saved(optimizer.state_dict())
    rows = state["3.parametrizations.weight.0.packed"].shape[0]
    assert rows == (1 if live == 6 else 8 * 8 * 9 // 4)

    other = net()
    resumed = sparsify(other, "2:4", scores=form)
    resumed_optimizer = sgd(other)
    other.load_state_dict(state)
    resumed_optimizer.load_state_dict(optimizer_state)
    for name, at in resumed.layers.items():
        assert at.live_count == live
        assert at.score_parameter().requires_grad is (live > 1)
        assert torch.equal(at.live(), sparsifier.live(name))
    for each, its, own in ((model, sparsifier, optimizer), (other, resumed, resumed_optimizer)):
        steps(each, own, 3, seed=1)
        its.follow(Schedule(end=10), 6, own)
        steps(each, own, 2, seed=2)
    assert_same(model.state_dict(), other.state_dict())


@both_forms
def test_an_earlier_state_can_be_loaded_over_a_later_one(form: Form) -> None:
    model, sparsifier, _ = half_way(form, live=6)
    early = saved(model.state_dict())
    sparsifier.remove(1)
    model.load_state_dict(early)
    assert sparsifier.layers["3"].live_count == 6
    assert sparsifier.layers["3"].score_parameter().requires_grad
    assert_same(model.state_dict(), early)


@both_forms
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_scores_keep_their_precision_when_the_model_is_converted(
    form: Form, dtype: torch.dtype
) -> None:
    model = net()
    sparsifier = sparsify(model, "2:4", scores=form)
    steps(model, sgd(model), 2)
    before = sparsifier.layers["3"].score_parameter().detach().clone()
    model.to(dtype)
    scores = sparsifier.layers["3"].score_parameter()
    assert sparsifier.dense_weight("3").dtype == dtype
    assert scores.dtype == torch.float32 and torch.equal(scores, before)
    assert any(scores is one for one in model.parameters())


@both_forms
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("first", ["half", "sparsify"])
def test_half_precision_models_can_be_sparse(form: Form, dtype: torch.dtype, first: str) -> None:
    model = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 4))
    if first == "half":
        model.to(dtype)
    sparsifier = sparsify(model, "2:4", scores=form)
    model.to(dtype)
    weight = model[0].weight
    assert weight.dtype == dtype
    model(torch.randn(3, 16, dtype=dtype)).float().square().sum().backward()
    gradient = sparsifier.layers["0"].score_parameter().grad
    assert gradient is not None and bool(gradient.isfinite().all()) and bool((gradient != 0).any())
    sparsifier.remove(1)
    sparsifier.finalize()
    assert check(model.get_parameter("0.weight").float(), Pattern(2, 4)).density == 0.5


def test_scores_of_a_half_precision_model_are_kept_in_single_precision() -> None:
    for form in ("per_weight", "per_combination"):
        model = nn.Linear(16, 16, dtype=torch.bfloat16)
        sparsifier = sparsify(model, "2:4", scores=form)
        assert sparsifier.layers[""].score_parameter().dtype == torch.float32


@both_forms
@pytest.mark.parametrize("training", [True, False])
def test_transformers_stay_right(form: Form, training: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 4, 32, dropout=0.0, batch_first=True)
    model = nn.Sequential(layer, nn.Linear(16, 4)).train(training)
    sparsifier = sparsify(model, "2:4", scores=form)
    attention = {"0.self_attn.in_proj_weight", "0.self_attn.out_proj"}
    assert set(sparsifier.layers) == attention | {"0.linear1", "0.linear2"}
    data = torch.randn(2, 5, 16)
    model(data).sum().backward()
    sparsifier.remove(1)
    plain = copy.deepcopy(sparsifier).finalize()
    with torch.no_grad():  # where torch takes its fast path
        torch.testing.assert_close(model(data), plain(data))
    torch.testing.assert_close(model(data), plain(data))


@both_forms
def test_assigning_a_weight_assigns_what_lies_below_the_mask(form: Form) -> None:
    model, sparsifier, _ = half_way(form, live=1)
    fresh = torch.randn(16, 32)
    model[5].weight = fresh
    assert torch.equal(model[5].weight, fresh * sparsifier.mask("5"))


def test_a_second_call_is_refused() -> None:
    model = net()
    sparsify(model, "2:4")
    with pytest.raises(ValueError, match="3: its weight already has a parametrization"):
        sparsify(model, "2:4")


def test_a_dense_weight_can_be_initialised_anew_below_its_mask() -> None:
    model = net()
    sparsifier = sparsify(model, "2:4")
    sparsifier.remove(1)
    nn.init.ones_(sparsifier.dense_weight("5"))
    assert torch.equal(sparsifier.dense_state_dict()["5.weight"], sparsifier.mask("5").float())


def test_the_table_lists_every_weight() -> None:
    sparsifier = sparsify(net(), "2:4", overrides={"5": "1:4"})
    for name in sparsifier.layers:  # equal weights: the earliest combinations stay
        nn.init.ones_(sparsifier.dense_weight(name))
    sparsifier.remove(3)
    assert repr(sparsifier).splitlines() == [
        "Sparsifier (method lbc, density 88.2%)",
        "layer  N:M    live    density",
        "3      2:4    3 of 6  100.0%",
        "5      1:4    3 of 4  75.0%",
        f"0      dense          {sparsifier.skipped['0']}",
        f"7      dense          {sparsifier.skipped['7']}",
    ]
    assert repr(sparsify(nn.Linear(16, 16), "8:16")).splitlines()[2] == (
        "(model)  8:16  12,870 of 12,870  100.0%"
    )


def test_a_layer_knows_its_own_density() -> None:
    sparsifier = sparsify(net(), "2:4", overrides={"5": "1:4"})
    sparsifier.remove(1)
    assert {name: layer.density for name, layer in sparsifier.layers.items()} == {
        "3": 0.5,
        "5": 0.25,
    }
    assert sparsifier.density() == (576 * 0.5 + 512 * 0.25) / (576 + 512)


def test_masks_that_are_handed_out_are_copies() -> None:
    sparsifier = sparsify(net(), "2:4")
    sparsifier.mask("3").zero_()
    assert sparsifier.density() == 1.0


def test_an_unknown_layer_is_refused_with_the_choices() -> None:
    with pytest.raises(ValueError, match=r"no sparse layer '9': the layers are 3, 5\."):
        sparsify(net(), "2:4").ban("9", 0)


def test_the_optimizer_is_not_kept_alive() -> None:
    model = net()
    sparsifier = sparsify(model, "2:4")
    assert sparsifier.optimizer is None
    optimizer = sgd(model)
    sparsifier.remove(5, optimizer)
    assert sparsifier.optimizer is optimizer
    del optimizer
    assert sparsifier.optimizer is None
    sparsifier.remove(4)


def test_the_sparsifier_of_a_copy_knows_the_method_and_the_order() -> None:
    model = net()
    sparsify(model, "2:4", "asp")
    again = Sparsifier.of(copy.deepcopy(model))
    assert again.method == "asp" and list(again.layers) == ["3", "5"] and again.skipped == {}
    again.finalize()
    assert [name for name, _ in again.model.named_parameters()] == [
        name for name, _ in net().named_parameters()
    ]


def test_choosing_as_many_as_live_changes_nothing() -> None:
    layer = sparsify(net(), "2:4").layers["3"]
    assert layer.choose(6) == (layer.live_sets, layer.mask)
    layer.remove(3)
    live_sets, mask = layer.choose(3)
    assert live_sets is layer.live_sets and mask is layer.mask


def test_masks_and_live_sets_keep_their_type_whatever_the_model_becomes() -> None:
    model = net()
    sparsifier = sparsify(model, "2:4")
    sparsifier.remove(3)
    before = sparsifier.live("3")
    model.type(torch.float64)
    layer = sparsifier.layers["3"]
    assert layer.mask.dtype == torch.bool and layer.packed.dtype == torch.uint8
    assert torch.equal(sparsifier.live("3"), before)
    assert model(torch.randn(2, 3, 6, 6, dtype=torch.float64)).dtype == torch.float64


def test_a_model_copied_with_its_optimizer_trains_its_own_scores() -> None:
    model = net()
    sparsifier = sparsify(model, "2:4")
    twin, optimizer = copy.deepcopy((sparsifier, sgd(model)))
    before = [one.detach().clone() for one in twin.score_parameters()]
    steps(twin.model, optimizer, 2)
    for now, then, other in zip(
        twin.score_parameters(), before, sparsifier.score_parameters(), strict=True
    ):
        assert not torch.equal(now, then) and torch.equal(other, then)


def test_a_state_dict_can_keep_its_parameters() -> None:
    model = net()
    sparsifier = sparsify(model, "2:4")
    key = "3.parametrizations.weight.0.all_scores"
    assert model.state_dict(keep_vars=True)[key] is sparsifier.layers["3"].score_parameter()
    assert not model.state_dict()[key].requires_grad


def test_example_inputs_find_the_classifier_wherever_it_is_registered() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(16, 4)  # makes the output
            self.second = nn.Linear(8, 16)

        def forward(self, data: Tensor) -> Tensor:
            logits: Tensor = self.first(self.second(data).relu())
            return logits

    found = sparsify(Net(), "2:4", example_inputs=torch.randn(2, 8))
    assert found.skipped == {"first": "the classifier"} and set(found.layers) == {"second"}


def test_methods_without_scores_are_bound_by_memory_too() -> None:
    with pytest.raises(ValueError, match="The live combinations would take"):
        sparsify(nn.Linear(64, 64), "8:16", method="asp", memory_limit=50_000)
