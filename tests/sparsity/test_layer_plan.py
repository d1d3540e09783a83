"""Which layers become sparse is decided by rules the user can override, with reasons."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from lbc.models import ResNet18
from lbc.sparsity.layer_plan import plan_layers
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


EXPECTED = {
    "0": "the first convolution",
    "2": "depthwise convolution",
    "3": "2:4",
    "4": "2:4",
    "6": "2:4",
    "7": "2:4",
    "8": "input width 6 is not a multiple of 4",
    "9": "the classifier",
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
    assert patterns(model) == {"0": "2:4", "1": "the first convolution", "2": "2:4"}


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
        ("norm", "No Linear, Conv1d or Conv2d layer is named 'norm'"),
        ("encoder", "No Linear, Conv1d or Conv2d layer is named 'encoder'"),
    ],
)
def test_an_unknown_name_gets_a_hint(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint.replace("*", r"\*")):
        plan_layers(Named(), PATTERN, skip=[name])
    with pytest.raises(ValueError, match=hint.replace("*", r"\*")):
        plan_layers(Named(), PATTERN, overrides={name: "dense"})


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
        "one": "its weight is shared with other",
        "other": "its weight is shared with one",
        "out": "its weight is shared with words",
        "last": "the classifier",
    }
    with pytest.raises(ValueError, match="'out' is impossible: its weight is shared with words"):
        plan_layers(Tied(), PATTERN, overrides={"out": "2:4"})


def test_one_module_used_twice_is_one_layer() -> None:
    layer = nn.Linear(8, 8)
    assert patterns(nn.Sequential(layer, layer, nn.Linear(8, 2))) == {
        "0": "2:4",
        "2": "the classifier",
    }


def test_weights_that_are_not_free_stay_dense() -> None:
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(5)), nn.LazyLinear(8), nn.Linear(8, 2))
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
        "6": "the classifier",
    }


def test_a_model_without_layers_has_no_plan() -> None:
    assert plan_layers(nn.ReLU(), PATTERN) == ()
