"""A run of the model shows which layers read the input and which make the outputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from lbc.config import parse_experiment
from lbc.models import build_on_meta
from lbc.models.layer_cost import model_cost
from lbc.sparsity.layer_plan import plan_layers
from lbc.sparsity.layer_roles import Roles
from lbc.sparsity.role_trace import RoleTrace, tensors_in, trace_roles
from tests.sparsity.test_weight_sites import Gpt, UNet

DATA = torch.randn(2, 8, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    """Layers registered in an arbitrary order, with a custom forward."""

    def __init__(self, forward: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.out, self.other = nn.Linear(8, 4), nn.Linear(8, 4)
        self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8)
        self.norm = nn.LayerNorm(8)
        self.mix = nn.Parameter(torch.randn(8, 8))
        self.function = forward

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


@dataclass
class Output:
    logits: Tensor
    cache: object


class Cache:
    def __init__(self, *tensors: Tensor) -> None:
        self.layers = [{"keys": tensor} for tensor in tensors]


def stream(net: Any, x: Tensor) -> Any:
    x = net.one(x)
    return net.norm(x + net.two(x))


def assigned(net: Any, x: Tensor) -> Tensor:
    result = torch.empty(2, 8)
    result[:, :4] = net.out(net.one(x))
    result[:, 4:] = net.other(net.one(x)).relu_()
    return result


FORWARDS: dict[str, tuple[Callable[[Any, Tensor], Any], set[str]]] = {
    "registered first": (lambda net, x: net.out(net.two(net.one(x).relu())), {"out"}),
    "after the product": (lambda net, x: net.out(net.one(x)).softmax(-1).log()[:, 1:], {"out"}),
    "two outputs": (lambda net, x: (net.out(y := net.one(x)), [net.other(y)]), {"out", "other"}),
    "a mapping": (lambda net, x: {"a": net.out(net.one(x)), "b": None, "c": 3}, {"out"}),
    "joined": (lambda net, x: torch.cat([net.out(x), net.other(net.one(x))]), {"out", "other"}),
    "wide and deep": (lambda net, x: net.out(x) + net.other(net.two(net.one(x))), {"out", "other"}),
    "added to the input": (lambda net, x: x + net.two(net.one(x)), {"two"}),
    "a residual stream": (lambda net, x: stream(net, x), set()),
    "a head on a stream": (lambda net, x: net.out(stream(net, x)), {"out"}),
    "with features": (lambda net, x: (y := net.one(x), net.out(y)), {"out"}),
    "with a cache": (lambda net, x: Output(net.out(y := net.two(x)), Cache(y)), {"out"}),
    "a weight used by a function": (lambda net, x: net.one(x) @ net.two.weight.T, {"two"}),
    "a cast weight": (lambda net, x: (net.one(x).double() @ net.two.weight.double().T), {"two"}),
    "a parameter of its own": (lambda net, x: net.one(x) @ net.mix, {"mix"}),
    "einsum": (lambda net, x: torch.einsum("bi,oi->bo", net.one(x), net.out.weight), {"out"}),
    "in place": (assigned, {"out", "other"}),
    "used twice": (lambda net, x: net.two(net.two(net.one(x))), {"two"}),
    "attention": (lambda net, x: torch.softmax(net.one(x) @ net.two(x).T, -1) @ x, {"one", "two"}),
}  # fmt: skip


def outputs(model: nn.Module, inputs: object) -> set[str]:
    found = trace_roles(model, inputs).outputs
    assert found is not None
    return set(found)


@pytest.mark.parametrize("case", FORWARDS)
def test_output_layers_make_the_outputs(case: str) -> None:
    forward, expected = FORWARDS[case]
    assert outputs(Net(forward), DATA) == expected
    frozen = Net(forward).requires_grad_(False)
    with torch.inference_mode():
        assert outputs(frozen, DATA) == expected
    with torch.autocast("cpu", torch.bfloat16):
        if case != "in place":  # which mixes types then
            assert outputs(Net(forward), DATA) == expected


def test_heads_stay_dense_and_nothing_else_does() -> None:
    plans = plan_layers(Net(FORWARDS["two outputs"][0]), "2:4", example_inputs=DATA)
    assert {plan.name: plan.reason for plan in plans} == {
        "mix": "it is not the weight of a known kind of layer",
        "out": "the classifier",
        "other": "the classifier",
        "one": "",
        "two": "",
    }


def test_a_head_with_a_computed_weight_is_found() -> None:
    net = Net(FORWARDS["registered first"][0])
    parametrizations.weight_norm(net.out)
    parametrizations.spectral_norm(net.two)
    parametrizations.orthogonal(net.one)
    assert outputs(net, DATA) == {"out"}


ENCODER = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)


@pytest.mark.parametrize(
    ("model", "inputs", "expected"),
    [
        (Gpt(), torch.arange(5)[None], {"lm_head"}),
        (Gpt(tied=False), torch.arange(5)[None], {"lm_head"}),
        (Gpt(head=False), torch.arange(5)[None], set()),
        (UNet(), torch.ones(1, 4, 8, 8), {"out"}),
        (ENCODER, torch.ones(1, 3, 8), set()),
        (nn.MultiheadAttention(8, 2), dict.fromkeys(("query", "key", "value"), DATA), {"out_proj"}),
        (nn.Bilinear(8, 8, 4), (DATA, DATA), {""}),
        (nn.LSTM(8, 8), torch.ones(3, 1, 8), {"weight_ih_l0", "weight_hh_l0"}),
    ],
    ids=["tied", "untied", "headless", "unet", "encoder", "attention", "bilinear", "lstm"],
)  # fmt: skip
def test_models_of_many_kinds(model: nn.Module, inputs: object, expected: set[str]) -> None:
    assert outputs(model, inputs) == expected


def test_an_output_layer_need_not_be_linear() -> None:
    plans = {
        at.name: at for at in plan_layers(UNet(), "2:4", example_inputs=torch.ones(1, 4, 8, 8))
    }
    assert plans["out"].reason == "the output layer"
    assert plans["down"].reason == "the first convolution"
    assert plans["inside"].pattern


class Stems(nn.Module):
    def __init__(self, two: bool) -> None:
        super().__init__()
        self.late, self.early, self.depth = (
            nn.Conv1d(8, 8, 1),
            nn.Conv1d(8, 8, 1),
            nn.Conv1d(8, 8, 1),
        )
        self.two = two

    def forward(self, x: Tensor) -> Any:
        x = self.early(x.relu()) + self.depth(x) if self.two else self.depth(self.early(x))
        return self.late(x).mean(-1)


def test_first_convolutions_read_the_input() -> None:
    assert trace_roles(Stems(two=False), torch.ones(1, 8, 4)).first == frozenset({"early"})
    assert trace_roles(Stems(two=True), torch.ones(1, 8, 4)).first == frozenset({"early", "depth"})


def test_if_no_convolution_reads_the_input_the_first_that_ran_counts() -> None:
    model = nn.Sequential(nn.Linear(4, 4), Stems(two=False))
    assert trace_roles(model, torch.ones(1, 8, 4)).first == frozenset({"1.early"})


class Changing(nn.Module):
    """A forward pass that changes whatever it can."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(8)
        self.one, self.out = nn.Linear(8, 8), nn.Linear(8, 2)
        self.count: Tensor
        self.mean: Tensor
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("mean", torch.zeros(8), persistent=False)

    def forward(self, x: Tensor) -> Any:
        x.mul_(2)
        self.count += 1
        self.mean = x.mean(0) + torch.rand(1)
        return self.out(self.one(self.norm(x)))


def test_the_model_stays_as_it_was() -> None:
    model = Changing().train()
    model.one.eval()
    model.out.weight.requires_grad_(False)
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    before = {name: at.detach().clone() for name, at in tensors.items()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    given = DATA.clone()
    plan_layers(model, "2:4", example_inputs=given)
    after = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    assert all(at is tensors[name] for name, at in after.items())
    assert all(torch.equal(at, before[name]) for name, at in after.items())
    assert all(at.grad is None for at in model.parameters())
    assert not model.out.weight.requires_grad and model.one.weight.requires_grad
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(given, DATA) and not given.requires_grad
    assert not any(module._forward_hooks for module in model.modules())


def test_a_failing_run_changes_nothing_and_is_one_sentence() -> None:
    model = Changing().train()
    with pytest.raises(
        ValueError, match=r"^The model cannot run on example_inputs: RuntimeError: "
    ):
        plan_layers(model, "2:4", example_inputs=torch.ones(2, 5))
    with pytest.raises(ValueError, match=r"example_inputs: TypeError: .* keyword arguments"):
        plan_layers(model, "2:4", example_inputs={"nope": DATA})
    assert model.training and float(model.count) == 0


def test_a_run_that_shows_nothing_leaves_the_decision_to_names() -> None:
    class Hiding(Net):
        def forward(self, _: Any) -> Any:
            return "nothing"

    plans = plan_layers(Hiding(lambda net, x: x), "2:4", skip="other", example_inputs=DATA)
    assert {at.name: at.reason for at in plans}["out"] == "the classifier, by its name"
    lazy = nn.Sequential(nn.LazyLinear(8), nn.Linear(8, 8), nn.Linear(8, 2))
    assert trace_roles(lazy, DATA) == Roles()
    assert isinstance(lazy[0], nn.LazyLinear)


def test_roles_of_an_earlier_run_need_no_other() -> None:
    net = Net(FORWARDS["registered first"][0])
    roles = trace_roles(net, DATA)
    planned = plan_layers(net, "2:4", example_inputs=DATA)
    net.function = lambda net, x: pytest.fail("the model ran again")
    assert plan_layers(net, "2:4", example_inputs=roles) == planned


def test_outputs_that_no_product_makes_have_no_head() -> None:
    assert outputs(Net(lambda net, x: (net.out(net.one(x)), net.two.weight)), DATA) == {"out"}
    assert outputs(Net(lambda net, x: (net.out(net.one(x)), torch.ones(2))), DATA) == {"out"}
    assert trace_roles(Net(lambda net, x: x), DATA) == Roles()
    constant = torch.eye(2)

    def sparse(net: Any, x: Tensor) -> Tensor:
        _unused = net.one(x).to_sparse()
        return constant.to_sparse().to_dense()

    assert trace_roles(Net(sparse), DATA) == Roles()


def test_a_weight_that_data_change_in_place_is_a_weight_still() -> None:
    def normalised(net: Any, x: Tensor) -> Any:
        with torch.no_grad():
            net.out.weight.mul_(x.abs().amax().clamp(1, 1))
        return net.out(net.one(x))

    assert outputs(Net(normalised), DATA) == {"out"}


class Tied(nn.Module):
    """An embedding and two layers with one weight, of which the output is a lookup."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.one, self.two = nn.Embedding(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.one.weight = self.two.weight = self.embedding.weight

    def forward(self, tokens: Tensor, looked_up: bool) -> Tensor:
        found: Tensor = self.embedding(tokens)
        return found if looked_up else self.two(self.one(found))


def test_of_layers_that_share_a_weight_the_first_of_its_kind_counts() -> None:
    tokens = torch.arange(3)
    assert outputs(Tied(), (tokens, True)) == {"embedding"}
    assert outputs(Tied(), (tokens, False)) == {"one"}


class Products(RoleTrace):  # type: ignore[no-untyped-call]
    """Keeps what every operation multiplies by."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = super().__torch_dispatch__(func, types, args, kwargs)
        vars(self).setdefault("found", []).append(self.weights_in(func, args))
        return out


def test_what_an_operation_multiplies_by() -> None:
    model = Tied()
    trace = Products(model)
    trace.run(model, (torch.arange(3), False))
    found = [weights for weights in vars(trace)["found"] if weights]
    assert {"embedding": 64} in found and {"one": 64} in found
    assert all(len(weights) == 1 for weights in found)


WRAPPERS: dict[str, Callable[[object], object]] = {
    "mapping": lambda value: {"key": value},
    "list": lambda value: [value],
    "object": lambda value: SimpleNamespace(held=value),
}


@pytest.mark.parametrize("kind", WRAPPERS)
def test_tensors_are_found_in_eight_containers_and_no_deeper(kind: str) -> None:
    value: object = DATA
    for _ in range(4 if kind == "object" else 8):  # an object and its attributes are two
        value = WRAPPERS[kind](value)
    assert [tensor is DATA for tensor in tensors_in(value)] == [True]
    assert not list(tensors_in(WRAPPERS[kind](value)))


@pytest.mark.parametrize(
    ("message", "told"),
    [("", "ValueError: no reason given. Give"), ("first\nsecond", "ValueError: first. Give")],
)
def test_the_reason_of_a_failing_run_is_its_first_line(message: str, told: str) -> None:
    def fail(net: Any, x: Tensor) -> Tensor:
        raise ValueError(message)

    with pytest.raises(ValueError, match=re.escape(told)):
        trace_roles(Net(fail), DATA)


MODELS: tuple[Mapping[str, Any], ...] = (
    {"name": "convnet"}, {"name": "mlp"}, {"name": "resnet20"}, {"name": "resnet56", "width": 32},
    {"name": "resnet18"}, {"name": "resnet34"}, {"name": "resnet50"},
    {"name": "deit-tiny", "patch": 4}, {"name": "deit-small", "patch": 4},
)  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_the_program_s_own_networks_keep_stem_and_classifier(model: Mapping[str, Any]) -> None:
    network = build_on_meta(parse_experiment({"model": model}).model, (3, 32, 32), 10)
    plans = plan_layers(network, "1:2", example_inputs=model_cost(network, (3, 32, 32)).roles)
    layers = [at for at in plans if at.kind in ("Linear", "Conv2d")]
    convolutions = [at.name for at in layers if at.kind == "Conv2d"]
    expected = dict.fromkeys(convolutions[:1], "the first convolution")
    expected[layers[-1].name] = "the classifier"
    assert {at.name: at.reason for at in layers if at.reason} == expected
