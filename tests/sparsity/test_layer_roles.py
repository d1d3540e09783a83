"""Without a run of the model names and order tell the output layers, and the reason says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from lbc.sparsity.layer_plan import plan_layers
from lbc.sparsity.layer_roles import Roles

BY_NAME, BY_ORDER = "the classifier, by its name", "the classifier, by order of registration"


def heads(model: nn.Module) -> dict[str, str]:
    """The layers that are taken for output layers."""
    reasons = {plan.name: plan.reason for plan in plan_layers(model, "2:4")}
    return {name: said for name, said in reasons.items() if said.startswith(("the cl", "the out"))}


class Parts(nn.Module):
    """Parts of a model by name, in order."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)


def body() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8))


def linear() -> nn.Module:
    return nn.Linear(8, 4)


def blocks() -> nn.Module:
    return nn.ModuleList([Parts(up=linear(), down=linear()) for _ in range(3)])


NAMED: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "first": (lambda: Parts(fc=linear(), body=body()), ["fc"]),
    "two": (
        lambda: Parts(cls_head=linear(), body=body(), box_head=linear()),
        ["cls_head", "box_head"],
    ),
    "list": (
        lambda: Parts(heads=nn.ModuleList([linear(), body()]), body=body()),
        ["heads.0", "heads.1.1"],
    ),
    "dict": (
        lambda: Parts(body=body(), heads=nn.ModuleDict({"a": linear()}), x=linear()),
        ["heads.a"],
    ),
    "lists in lists": (
        lambda: Parts(heads=nn.ModuleDict({"a": nn.ModuleList([linear(), linear()])}), x=body()),
        ["heads.a.0", "heads.a.1"],
    ),
    "a longer name": (lambda: Parts(fc=linear(), fc2=linear(), body=body()), ["fc"]),
    "sequential": (
        lambda: Parts(features=body(), classifier=nn.Sequential(linear(), linear())),
        ["classifier.1"],
    ),
    "wrapped": (lambda: nn.DataParallel(Parts(head=linear(), body=body())), ["module.head"]),
    "two layers": (
        lambda: Parts(body=body(), pre_classifier=linear(), classifier=linear()),
        ["classifier"],
    ),
    "block": (
        lambda: Parts(classifier=Parts(dense=linear(), out_proj=linear()), body=body()),
        ["classifier.out_proj"],
    ),
}


@pytest.mark.parametrize("case", NAMED)
def test_layers_named_like_heads_make_the_outputs(case: str) -> None:
    build, expected = NAMED[case]
    assert heads(build()) == dict.fromkeys(expected, BY_NAME)


@pytest.mark.parametrize("name", ["out", "outs", "output", "outputs", "predict", "prediction"])
def test_layers_registered_first_may_be_named_like_outputs(name: str) -> None:
    assert heads(Parts(**{name: linear()}, body=body())) == {name: BY_NAME}


def test_a_convolution_may_be_the_head() -> None:
    model = Parts(body=nn.Sequential(nn.Conv2d(8, 8, 1), linear()), classifier=nn.Conv2d(8, 4, 1))
    assert heads(model) == {"classifier": "the output layer, by its name"}


def test_a_layer_of_a_block_with_a_head_s_name_is_none() -> None:
    model = nn.Sequential(Parts(fc=linear(), other=linear()), Parts(fc=linear(), last=linear()))
    assert heads(model) == {"1.last": BY_ORDER}


def test_the_last_linear_layer_registered_is_the_last_resort() -> None:
    assert heads(Parts(one=linear(), two=body())) == {"two.1": BY_ORDER}
    assert heads(Parts(one=linear(), two=nn.Conv1d(8, 8, 1))) == {}


def test_the_last_of_several_blocks_that_are_alike_is_no_head() -> None:
    assert heads(Parts(embed=linear(), layers=blocks())) == {}
    assert heads(Parts(layers=blocks(), last=linear())) == {"last": BY_ORDER}


def test_the_model_s_own_answer_comes_first() -> None:
    class Answering(Parts):
        def get_output_embeddings(self) -> nn.Module:
            return self.get_submodule("last")

    class Without(Parts):
        def get_output_embeddings(self) -> nn.Module:
            raise NotImplementedError

    parts = {"last": linear(), "body": body(), "head": linear()}
    assert heads(Answering(**parts)) == {"last": "the classifier, by get_output_embeddings"}
    assert heads(Without(**parts)) == {"head": BY_NAME}


def test_a_layer_that_shares_an_embedding_s_weight_is_the_head() -> None:
    model = Parts(words=nn.Embedding(20, 8), out=nn.Linear(8, 20), body=body())
    model.get_submodule("out").weight = model.get_submodule("words").weight
    assert heads(model) == {"out": "the classifier, by a weight shared with an embedding"}


def test_a_convolution_of_two_channels_can_be_depthwise_and_one_of_a_single_channel_not() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 2, 3), nn.Conv2d(2, 2, 3, groups=2), nn.Conv2d(2, 1, 1), nn.Conv2d(1, 8, 1),
        nn.Conv2d(8, 8, 1),
    )  # fmt: skip
    reasons = {plan.name: plan.reason for plan in plan_layers(model, "2:4")}
    assert reasons["1"] == "depthwise convolution"
    assert reasons["3"] == "input width 1 is not a multiple of 4"


def test_a_module_with_weights_of_its_own_is_no_wrapper() -> None:
    model = Parts(inner=Parts(head=linear(), body=body()))
    assert heads(model) == {"inner.head": BY_NAME}
    model.scale = nn.Parameter(torch.ones(8))
    assert heads(model) == {"inner.body.1": BY_ORDER}


def test_what_a_run_shows_is_no_reason_to_use_an_embedding() -> None:
    model = Parts(words=nn.Embedding(8, 8), stem=nn.Conv2d(4, 8, 3), body=body())
    plans = plan_layers(model, "2:4", example_inputs=Roles(frozenset({"stem"}), frozenset()))
    assert {plan.name: plan.reason for plan in plans if plan.reason} == {
        "words": "an embedding",
        "stem": "the first convolution",
    }
