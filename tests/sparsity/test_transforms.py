"""Sparse layers under inference mode, torch.func, torch.compile and torch.export."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import functional_call, grad, vmap

from lbc import sparsify
from tests.sparsity.networks import METHODS, images, perceptron, sgd, train

methods = pytest.mark.parametrize("method", METHODS, ids=str)


@pytest.fixture(autouse=True)
def fresh_compiler() -> Iterator[None]:
    yield
    torch._dynamo.reset()


@methods
def test_evaluation_and_removal_in_inference_mode_do_not_end_training(
    method: dict[str, Any],
) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", **method)
    optimizer = sgd(model)
    for live in (6, 3, 1):
        with torch.inference_mode():
            sparsifier.remove(live, optimizer)
            model(images())
        train(model, optimizer, 1, seed=live)
    assert sparsifier.density() == 0.5


@methods
@pytest.mark.parametrize("live", [6, 3, 1])
def test_torch_func_gives_the_gradients_of_backward(method: dict[str, Any], live: int) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", **method)
    train(model, sgd(model))
    sparsifier.remove(live)

    def loss(parameters: Mapping[str, Tensor], data: Tensor) -> Tensor:
        output: Tensor = functional_call(model, dict(parameters), (data,))
        return output.square().sum()

    parameters = dict(model.named_parameters())
    model.zero_grad()
    loss(parameters, images()).backward()  # type: ignore[no-untyped-call]
    expected = {name: one.grad for name, one in model.named_parameters() if one.grad is not None}
    gradients = grad(loss)(parameters, images())
    per_sample = vmap(grad(loss), (None, 0))(parameters, images()[:, None])
    assert len(expected) >= 6
    for name, gradient in expected.items():
        torch.testing.assert_close(gradients[name], gradient)
        assert per_sample[name].shape == (8, *gradient.shape)
        if method.get("method") != "sr-ste":  # whose pull comes once a sample
            torch.testing.assert_close(per_sample[name].sum(0), gradient)


@pytest.mark.parametrize(
    ("method", "live"),
    [
        ({"scores": "per_weight"}, 6),
        ({"scores": "per_weight"}, 1),
        ({"scores": "per_combination"}, 3),
        ({"method": "asp"}, 6),
        ({"method": "asp"}, 1),
        ({"method": "sr-ste"}, 3),
    ],
    ids=str,
)
def test_layers_compile_without_graph_breaks(method: dict[str, Any], live: int) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", **method)
    train(model, sgd(model))
    sparsifier.remove(live)
    model.zero_grad()
    expected = model(images())
    expected.square().sum().backward()
    gradients = {name: one.grad for name, one in model.named_parameters()}
    model.zero_grad()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # torch's own, while it loads
        compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
        output = compiled(images())
    torch.testing.assert_close(output, expected)
    output.square().sum().backward()
    for name, one in model.named_parameters():
        torch.testing.assert_close(one.grad, gradients[name])


@methods
def test_a_decided_model_can_be_exported(method: dict[str, Any]) -> None:
    model = perceptron().eval()
    sparsify(model, "2:4", **method).remove(1)
    with torch.no_grad():
        program = torch.export.export(model, (images(),))
        torch.testing.assert_close(program.module()(images()), model(images()))


@methods
def test_unfreezing_a_decided_model_does_not_thaw_its_scores(method: dict[str, Any]) -> None:
    model = perceptron()
    sparsifier = sparsify(model, "2:4", **method)
    optimizer = sgd(model)
    train(model, optimizer)
    sparsifier.remove(1, optimizer)
    before = [scores.detach().clone() for scores in sparsifier.score_parameters()]
    model.requires_grad_(True)
    train(model, optimizer)
    for now, then in zip(sparsifier.score_parameters(), before, strict=True):
        assert torch.equal(now, then) and now.grad is None
    assert sparsifier.density() == 0.5
