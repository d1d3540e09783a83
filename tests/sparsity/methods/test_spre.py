"""SpRe: a second branch where unstructured pruning would keep more, and its folding."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.compliance import check
from lbc.sparsity.methods.spre import SpReLayer
from lbc.sparsity.norm_trace import following_norms
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.optimizer import build_optimizer
from tests.sparsity.methods.networks import (
    OPTIMIZERS,
    assert_obeys_to_the_end,
    assert_resumes_in_mid_schedule,
    convolutions,
    pictures,
    refused,
    trained,
)

SPRE = {"name": "spre"}


def layer_of(sparsifier: Sparsifier, name: str) -> Any:
    layer = sparsifier.layers[name]
    assert isinstance(layer, SpReLayer)
    return layer


def test_branches_are_where_kernels_have_positions_and_batch_norm_follows() -> None:
    sparsifier = trained(SPRE)
    assert [layer_of(sparsifier, name).linked for name in ("2", "5", "10")] == [True, True, False]
    assert layer_of(sparsifier, "10").second is None
    assert layer_of(sparsifier, "2").norm.running_mean.abs().sum() > 0


class _Shared(nn.Module):
    """Convolutions whose outputs have two readers, no BatchNorm, or one BatchNorm for two."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("residual", "alone", "one", "other", "good", "output"):
            setattr(self, name, nn.Conv2d(4, 4, 3, padding=1))
        self.norms = nn.ModuleList(nn.BatchNorm2d(4) for _ in range(4))
        self.plain = nn.BatchNorm2d(4, track_running_stats=False)
        self.untracked = nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        kept = self.residual(images)  # type: ignore[operator]
        images = self.norms[0](kept) + kept
        images = self.alone(images).relu()  # type: ignore[operator]
        images = self.norms[1](self.one(images)) + self.norms[1](self.other(images))  # type: ignore[operator]
        images = self.plain(self.untracked(images))
        output = self.output(images)  # type: ignore[operator]
        return self.norms[2](self.good(images)) + self.norms[3](output), output  # type: ignore[operator]


def test_only_a_batch_norm_that_alone_reads_a_convolution_follows_it() -> None:
    model = _Shared()
    before = copy.deepcopy(model.state_dict())
    found = {k: one for k, one in model.named_modules() if isinstance(one, nn.Conv2d)}
    norms = following_norms(model, found, lambda count: iter([torch.randn(count, 4, 5, 5)]))
    assert norms == {"good": model.norms[2]}
    after = model.state_dict()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in model.modules())


@pytest.mark.parametrize("text", ["2:4", "1:4", "6:8"])
def test_positions_are_those_that_unstructured_pruning_cuts_less(text: str) -> None:
    torch.manual_seed(1)
    pattern = Pattern.parse(text)
    module = nn.Conv2d(8, 6, 3)
    with torch.no_grad():
        module.weight.mul_(torch.linspace(0.5, 2, 9).view(3, 3))
    weight = module.weight.detach().clone()
    layer = layer_of(sparsify(module, text, SPRE), "")
    for scale in (0.995, 1.0, 1.5, 1.0):  # near what was found before, and far from it
        with torch.no_grad():
            layer.seen.copy_(scale * weight)
        layer.choose_positions()
    sizes = layer.seen.abs().flatten()
    cut = torch.zeros_like(sizes, dtype=torch.bool)
    cut[sizes.argsort()[: int(len(sizes) * (1 - pattern.density))]] = True
    share = cut.view(layer.shape).float().mean((0, 1))
    assert torch.equal(layer.positions[0, 0], (share < 1 - pattern.density).float())
    assert 0 < layer.positions.sum() < 9


def test_output_and_gradients_are_those_of_two_branches() -> None:
    model = convolutions().double()
    sparsifier = sparsify(model, "2:4", SPRE)
    batches = {"batches": lambda count: iter([pictures(count).double()])}
    conductor = sparsifier.conduct(None, 10, 5, **batches)  # type: ignore[arg-type]
    for layer in sparsifier.layers.values():
        layer.double()
    conductor.before_step(1)
    layer, images = layer_of(sparsifier, "2"), torch.randn(6, 8, 6, 6, dtype=torch.float64)
    weight = sparsifier.dense_weight("2")
    output = model[3](model[2](images))
    up = torch.randn_like(output)
    output.backward(up)
    mask = sparsifier.mask("2")
    w = (weight.detach() * mask).requires_grad_()
    v = layer.second.detach().clone().requires_grad_()
    first, second = nn.BatchNorm2d(8).double(), nn.BatchNorm2d(8).double()
    used = v * mask * layer.positions
    expected = first(nn.functional.conv2d(images, w)) + second(nn.functional.conv2d(images, used))
    expected.backward(up)
    torch.testing.assert_close(output, expected)
    assert w.grad is not None and v.grad is not None and weight.grad is not None
    torch.testing.assert_close(weight.grad, w.grad + 2e-4 * ~mask * weight.detach())
    torch.testing.assert_close(layer.second.grad, v.grad)
    torch.testing.assert_close(layer.norm.weight.grad, second.weight.grad)
    assert not layer.second.grad[~(mask & (layer.positions > 0))].any()
    changes, towards = [], torch.randn_like(v)
    with torch.no_grad():  # finite differences of the layer itself
        for distance in (1e-6, -2e-6):
            layer.second += distance * towards
            changes.append((model[3](model[2](images)) * up).sum())
    slope = (changes[0] - changes[1]) / 2e-6
    torch.testing.assert_close((layer.second.grad * towards).sum(), slope, rtol=1e-6, atol=1e-6)


def test_without_positions_and_scale_it_is_sr_ste() -> None:
    def run(method: str) -> list[Tensor]:
        model = convolutions()
        sparsifier = sparsify(model, "2:4", method)
        batches = {"batches": lambda count: iter([pictures(count)])}
        sparsifier.conduct(None, 10, 5, **batches)  # type: ignore[arg-type]
        for layer in sparsifier.layers.values():
            if isinstance(layer, SpReLayer) and layer.norm is not None:
                nn.init.zeros_(layer.norm.weight)  # type: ignore[arg-type]
                assert layer.linked and not layer.positions.any()  # no step has begun
        output = model(pictures())
        output.square().sum().backward()
        gradients = {k: one.grad for k, one in model.named_parameters() if one.grad is not None}
        return [output, *(one for k, one in gradients.items() if "original" in k or k == "bias")]

    for ours, theirs in zip(run("spre"), run("sr-ste"), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("scale", ["trained", "zero", "tiny", "both zero", "negative"])
def test_folding_changes_nothing_that_the_network_computes(scale: str) -> None:
    sparsifier = trained(SPRE, "adamw", steps=6)
    model = sparsifier.model.eval()
    norm: Any = model.get_submodule("6")
    second = layer_of(sparsifier, "5").norm
    with torch.no_grad():
        for one in (norm, second):  # the convolution before has a bias
            one.bias.normal_()
        factors = {"zero": 0, "tiny": 1e-12, "both zero": 0, "negative": -1}
        norm.weight.mul_(factors.get(scale, 1))
        second.weight.mul_(scale != "both zero")
        before = model(pictures())
        assert layer_of(sparsifier, "5").linked
        sparsifier.decide()
        torch.testing.assert_close(model(pictures()), before, rtol=1e-5, atol=1e-5)
    for name in ("2", "5"):
        layer = layer_of(sparsifier, name)
        assert not layer.linked and not layer.second.requires_grad
        assert check(sparsifier.dense_weight(name).detach(), layer.pattern).valid


def test_what_is_folded_stays_folded_when_a_run_is_loaded() -> None:
    sparsifier = trained(SPRE)
    found = sparsifier.conductor.numbers()
    share = layer_of(sparsifier, "2").positions.mean() + layer_of(sparsifier, "5").positions.mean()
    assert found == {"kernel positions, branch 2": pytest.approx(float(share / 2))}
    sparsifier.sync_live_sets()
    shown = layer_of(sparsifier, "2").pictures()["second branch"].values
    assert torch.equal(shown, sparsifier.mask("2") * layer_of(sparsifier, "2").positions)
    before = sparsifier.conductor.state()
    sparsifier.decide()
    assert sparsifier.conductor.numbers() == found and not layer_of(sparsifier, "2").pictures()
    other = trained(SPRE, steps=1)
    for state, linked in ((before, True), (sparsifier.conductor.state(), False)):
        other.conductor.load(state)
        assert layer_of(other, "5").linked is linked


def test_a_copy_is_finalized_with_its_own_branches() -> None:
    sparsifier = trained(SPRE)
    twin = copy.deepcopy(sparsifier)
    model, other = sparsifier.model.eval(), twin.model.eval()
    with torch.no_grad():
        expected = model(pictures())
        assert torch.equal(other(pictures()), expected)
        twin.finalize()
        assert not any(one._forward_hooks for one in other.modules())
        torch.testing.assert_close(other(pictures()), expected, rtol=1e-5, atol=1e-5)
        assert torch.equal(model(pictures()), expected)  # whose branches are still there
    assert set(other.state_dict()) == set(convolutions().state_dict())
    assert layer_of(sparsifier, "2").linked


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("pattern", ["2:4", "1:4", "2:4x2"])
def test_what_is_left_in_the_end_obeys_the_pattern(optimizer: str, pattern: str) -> None:
    assert_obeys_to_the_end(SPRE, optimizer, pattern)


def test_a_resumed_run_ends_in_the_same_bits(tmp_path: Path) -> None:
    sparsifier = assert_resumes_in_mid_schedule(SPRE, "adamw", tmp_path)
    assert not any(layer_of(sparsifier, name).linked for name in sparsifier.layers)


def test_second_weights_decay_and_their_batch_norms_do_not() -> None:
    from lbc.config import Optimizer

    model = convolutions()
    layer = layer_of(sparsify(model, "2:4", SPRE), "2")
    decayed, plain = build_optimizer(model, Optimizer(weight_decay=0.1)).param_groups
    assert any(one is layer.second for one in decayed["params"])
    assert any(one is layer.norm.weight for one in plain["params"])


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
def test_a_compiled_network_has_its_branches() -> None:
    sparsifier, images = trained(SPRE), torch.randn(2, 8, 6, 6)
    part = sparsifier.model.eval()[2:4]  # type: ignore[index]
    compiled: Callable[[Tensor], Tensor] = torch.compile(part, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(images), part(images))
    torch._dynamo.reset()


def test_an_average_of_the_weights_is_refused_in_a_sentence() -> None:
    with pytest.raises(ExperimentError, match=r"training.ema_decay.*folds its second weights"):
        refused(method="spre", training={"epochs": 2, "ema_decay": 0.9}, schedule={"end": 1})
