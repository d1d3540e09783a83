"""Which layers become sparse is decided by rules the user can override, with reasons."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from lbc.models import ResNet18
from lbc.sparsity.layer_plan import PatternLike, plan_layers
from lbc.sparsity.pattern import Pattern

PATTERN = Pattern(2, 4)


def patterns(model: nn.Module, **asked: object) -> dict[str, str]:
    """The pattern, or the reason for none, of every layer."""
    plans = plan_layers(model, PATTERN, **asked)  # type: ignore[arg-type]
    assert all(bool(plan.reason) is (plan.pattern is None) for plan in plans)
    return {plan.name: plan.reason or str(plan.pattern) for plan in plans}


def net() -> nn.Sequential:
    """A stem, a body with a depthwise convolution, a head."""
    return nn.Sequential(
        nn.Conv2d(4, 8, 3),
        nn.BatchNorm2d(8),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 16, 1),
        nn.Conv2d(16, 16, 3, groups=2),
        nn.Flatten(),
        nn.Linear(16, 12),
        nn.Linear(12, 6),
        nn.Linear(6, 8),
        nn.Linear(8, 10),
    )


FIRST = "the first convolution, by order of registration"
LAST = "the classifier, by order of registration"

EXPECTED = {
    "0": FIRST,
    "2": "depthwise convolution",
    "3": "2:4",
    "4": "2:4",
    "6": "2:4",
    "7": "2:4",
    "8": "input width 6 is not a multiple of 4",
    "9": LAST,
}


def test_the_default_rules() -> None:
    assert patterns(net()) == EXPECTED


def test_plans_say_kind_shape_weights_and_blocks() -> None:
    stem, _, pointwise, *_ = plan_layers(net(), PATTERN)
    assert (stem.kind, stem.shape, stem.weights, stem.blocks) == ("Conv2d", (8, 4, 3, 3), 288, 0)
    assert (pointwise.weights, pointwise.blocks) == (128, 32)


def test_resnet18_keeps_its_stem_and_classifier_dense() -> None:
    dense = {name for name, said in patterns(ResNet18(10, 3)).items() if said != "2:4"}
    names = list(patterns(ResNet18(10, 3)))
    assert dense == {names[0], names[-1]}
    assert len(names) == 21


def test_a_lone_layer_is_neither_first_nor_last() -> None:
    assert patterns(nn.Linear(8, 3)) == {"": "2:4"}
    assert patterns(nn.Sequential(nn.Conv1d(8, 3, 3))) == {"0": "2:4"}


def test_a_last_convolution_is_no_classifier() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Conv1d(8, 8, 1), nn.Conv1d(8, 8, 1))
    assert patterns(model) == {"0": "2:4", "1": FIRST, "2": "2:4"}


def test_skip_names_more_layers_and_globs() -> None:
    assert patterns(net(), skip=["6"]) == EXPECTED | {"6": "skipped on request"}
    skipped = patterns(net(), skip=["[34]", "0"])
    assert skipped == EXPECTED | dict.fromkeys("034", "skipped on request")


@pytest.mark.parametrize(
    ("overrides", "changed"),
    [
        ({"0": "1:4"}, {"0": "1:4"}),
        ({"9": "2:4"}, {"9": "2:4"}),
        ({"6": Pattern(4, 8)}, {"6": "4:8"}),
        ({"6": "dense"}, {"6": "left dense on request"}),
        ({"6": None}, {"6": "left dense on request"}),
        ({"8": "1:2"}, {"8": "1:2"}),
        ({"[67]": "1:4"}, {"6": "1:4", "7": "1:4"}),
        ({"[67]": "1:4", "7": "3:4"}, {"6": "1:4", "7": "3:4"}),
        ({"8": "dense"}, {"8": "left dense on request"}),
    ],
)
def test_an_override_wins_over_the_rules(
    overrides: Mapping[str, Pattern | str | None], changed: dict[str, str]
) -> None:
    assert patterns(net(), overrides=overrides) == EXPECTED | changed
    assert patterns(net(), overrides=overrides, skip=list(changed)) == EXPECTED | changed


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"8": "2:4"}, "'8' is impossible: input width 6 is not a multiple of 4"),
        ({"2": "1:4"}, "'2' is impossible: input width 1"),
        ({"6": "4:4"}, "dense: choose N below 4"),
        ({"6": "sparse"}, "like 2:4"),
    ],
)
def test_an_override_that_cannot_fit_is_refused(overrides: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan_layers(net(), PATTERN, overrides=overrides)


class Named(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 8)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("heat", "did you mean 'head'"),
        ("encoder.2", "did you mean 'encoder."),
        ("xyz*", "the layers are encoder.0, encoder.1, head."),
        ("norm", "No layer with a weight is named 'norm'"),
        ("encoder", "No layer with a weight is named 'encoder'"),
    ],
)
def test_an_unknown_name_gets_a_hint(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint.replace("*", r"\*")):
        plan_layers(Named(), PATTERN, skip=[name])
    with pytest.raises(ValueError, match=hint.replace("*", r"\*")):
        plan_layers(Named(), PATTERN, overrides={name: "dense"})


def test_of_many_layers_a_few_are_named() -> None:
    many = nn.Sequential(*(nn.Linear(8, 8) for _ in range(300)))
    with pytest.raises(ValueError, match="xyz") as error:
        plan_layers(many, PATTERN, skip=["xyz*"])
    assert str(error.value).endswith("0, 1, 2, 3, … (300 in all), 298, 299.")


def test_a_weight_that_modules_share_stays_dense() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words = nn.Embedding(20, 8)
            self.one = nn.Linear(8, 8)
            self.other = nn.Linear(8, 8)
            self.out = nn.Linear(8, 20)
            self.last = nn.Linear(20, 4)
            self.other.weight = self.one.weight
            self.out.weight = self.words.weight

    assert patterns(Tied()) == {
        "words": "an embedding",
        "one": "its weight is shared with other",
        "other": "its weight is shared with one",
        "out": "the classifier, by a weight shared with an embedding",
        "last": "2:4",
    }
    with pytest.raises(ValueError, match="'out' is impossible: its weight is shared with words"):
        plan_layers(Tied(), PATTERN, overrides={"out": "2:4"})


def test_one_module_used_twice_is_one_layer() -> None:
    layer = nn.Linear(8, 8)
    assert patterns(nn.Sequential(layer, layer, nn.Linear(8, 2))) == {
        "0": "2:4",
        "2": LAST,
    }


def test_weights_that_are_not_free_stay_dense() -> None:
    model = nn.Sequential(
        *(nn.Linear(8, 8) for _ in range(5)), nn.LazyLinear(8), nn.Linear(8, 8), nn.Linear(8, 2)
    )
    prune.l1_unstructured(model[0], "weight", 0.5)  # type: ignore[no-untyped-call]
    parametrizations.orthogonal(model[1])
    model[2] = nn.Linear(8, 8, dtype=torch.complex64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that weight norm is old, and an empty layer empty
        nn.utils.weight_norm(model[3])
        model[4] = nn.Linear(8, 0)
    computed = "its weight is computed from other parameters, as pruning and weight norm do"
    assert patterns(model) == {
        "0": computed,
        "1": "its weight already has a parametrization",
        "2": "its weight is torch.complex64, not floating point",
        "3": computed,
        "4": "its weight is empty",
        "5": "its shape is not known before the first forward pass",
        "6": "2:4",
        "7": LAST,
    }


@pytest.mark.parametrize("pattern", ["2:4", (2, 4), [2, 4], Pattern(2, 4)])
def test_a_pattern_may_be_written_in_several_ways(pattern: PatternLike) -> None:
    written = plan_layers(net(), pattern, overrides={"6": pattern})
    assert written == plan_layers(net(), PATTERN, overrides={"6": PATTERN})


@pytest.mark.parametrize("pattern", [(2,), (2, 4, 8), 24, None, (2.0, 4), ("2", "4"), "2 of 4"])
def test_what_is_no_pattern_is_refused(pattern: Any) -> None:
    with pytest.raises(ValueError, match="whole number"):
        plan_layers(net(), pattern)
    if pattern is not None:  # which leaves a layer dense
        with pytest.raises(ValueError, match="whole number"):
            plan_layers(net(), PATTERN, overrides={"6": pattern})


def test_one_name_to_skip_needs_no_list() -> None:
    assert patterns(Named(), skip="encoder.1") == patterns(Named(), skip=["encoder.1"])


def test_an_embedding_is_sparse_on_request_along_its_own_dimension() -> None:
    model = nn.Sequential(nn.Embedding(7, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    assert patterns(model)["0"] == "an embedding"
    asked, *_ = plan_layers(model, PATTERN, overrides={"0": "1:4"})
    assert (asked.pattern, asked.shape, asked.input_dim) == (Pattern(1, 4), (7, 8), 1)
    with pytest.raises(ValueError, match="sparse gradients"):
        changed = nn.Sequential(nn.Embedding(7, 8, sparse=True), model[1], model[2])
        plan_layers(changed, PATTERN, overrides={"0": "1:4"})
    with pytest.raises(ValueError, match="max_norm"):
        changed = nn.Sequential(nn.Embedding(7, 8, max_norm=1.0), model[1], model[2])
        plan_layers(changed, PATTERN, overrides={"0": "1:4"})


def test_a_glob_means_the_layers_among_what_it_matches_and_a_name_the_weight() -> None:
    class Swin(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Parameter(torch.zeros(9, 4))
            self.proj = nn.Linear(8, 8)

    model = nn.Sequential(Swin(), nn.Linear(8, 2))
    assert patterns(model, overrides={"0.*": "1:4"})["0.proj"] == "1:4"
    with pytest.raises(ValueError, match=r"'0.table' is impossible: it is not the weight of a"):
        plan_layers(model, PATTERN, overrides={"0.table": "1:4"})


def test_nothing_left_for_a_pattern_is_refused_with_every_reason() -> None:
    model = nn.Sequential(nn.Conv3d(3, 6, 1), nn.Bilinear(4, 4, 4), nn.Linear(6, 2))
    with pytest.raises(
        ValueError, match=r"No layer of the model can take 2:4 \(0: .*; 1: "
    ) as error:
        plan_layers(model, PATTERN)
    assert f"0: {FIRST}; 1: a bilinear weight multiplies two inputs" in str(error.value)
    assert f"2: {LAST})" in str(error.value)
    with pytest.raises(ValueError, match="Linear: input width 6 is not a multiple of 4"):
        plan_layers(nn.Linear(6, 6), PATTERN)
    with pytest.raises(ValueError, match="has no weight of two dimensions"):
        plan_layers(nn.ReLU(), PATTERN)


def test_a_plan_has_whole_numbers_and_a_flag() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Bilinear(8, 8, 8), nn.Linear(8, 4))
    linear, bilinear, _ = plan_layers(model, "2:4")
    assert isinstance(linear.blocks, int) and linear.blocks == 16
    assert linear.overridden is False and bilinear.input_dim is None


def test_all_names_of_a_shared_weight_are_given() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.one, self.two, self.three = (nn.Linear(8, 8) for _ in range(4))
            self.two.weight = self.three.weight = self.one.weight
            self.twin = nn.Linear(8, 8)
            self.twin.again = self.twin.weight
            self.out = nn.Linear(8, 4)

    reasons = {plan.name: plan.reason for plan in plan_layers(Shared(), "2:4")}
    assert reasons["one"] == "its weight is shared with two, three"
    assert reasons["twin"] == "its weight is shared with twin.again"


def test_a_resumed_run_has_the_sparse_layers_that_it_was_started_with() -> None:
    model = nn.Sequential(
        nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 6), nn.Linear(6, 8), nn.Linear(8, 4)
    )
    dense = "dense since the run was started"
    found = plan_layers(model, PATTERN, overrides={"3": "1:4"}, sparse={"0", "2", "4"})
    assert {plan.name: plan.reason for plan in found if not plan.pattern} == {
        "1": dense,
        "3": "input width 6 is not a multiple of 4",
    }
    with pytest.raises(ValueError, match="'3' is impossible: input width 6"):
        plan_layers(model, PATTERN, overrides={"3": "1:4"}, sparse={"0", "2", "3", "4"})
