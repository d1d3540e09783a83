"""Whole models pruned at once, with data."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lbc.sparsity.calibration import admm, one_shot, ria, sparsegpt, wanda
from lbc.sparsity.calibration.input_statistics import InputStatistics
from lbc.sparsity.calibration.one_shot import prune_in_order
from lbc.sparsity.calibration.solution import Progress, Solution, Solver
from lbc.sparsity.compliance import check
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify

LAYERS = ("2", "4", "6", "10")


def network() -> nn.Sequential:
    """A plain, a strided, a grouped and a transposed convolution, and Linear layers."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2), nn.BatchNorm2d(32),
        nn.Conv2d(32, 32, 3, groups=2), nn.ReLU(),
        nn.ConvTranspose2d(32, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def images(count: int = 16) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return list(torch.split(torch.randn(count, 3, 12, 12, generator=generator), 4))


@pytest.mark.parametrize("solver", [wanda.solve, sparsegpt.solve, admm.solve])
def test_every_layer_obeys_its_pattern_and_reports_its_error(solver: Solver) -> None:
    model = network()
    dense = copy.deepcopy(model)
    sparsifier = sparsify(model, "2:4", "asp", overrides={"10": "1:4"})
    seen: list[str] = []
    layers = prune_in_order(model, images(), solver, pruned=lambda one: seen.append(one.name))
    assert [one.name for one in layers] == seen == [*LAYERS]
    assert not sparsifier.searching and model.training
    inputs = torch.cat(images())
    with torch.no_grad():
        given = dense[:2](inputs)
        changed = model[2](given) - dense[2](given)
        whole = dense[2](given) - dense[2](torch.zeros_like(given))
    assert layers[0].tokens == len(inputs) * 25
    assert layers[0].error == pytest.approx(
        float(changed.square().sum() / whole.square().sum()), 1e-3
    )
    masks = {name: sparsifier.mask(name) for name in LAYERS}
    out = model.eval()(inputs)
    sparsifier.finalize()
    torch.testing.assert_close(model(inputs), out)
    for name, mask in masks.items():
        weight = model.get_parameter(f"{name}.weight").detach()
        assert not weight[~mask].any()
        canonical = weight.transpose(0, 1) if name == "6" else weight
        assert check(canonical, Pattern(1 if name == "10" else 2, 4)).valid


def test_wanda_weighs_each_weight_of_a_convolution_by_the_norm_of_what_it_multiplies() -> None:
    torch.manual_seed(2)
    convolution, inputs = nn.Conv2d(8, 16, 3, stride=2, padding=1), torch.randn(6, 8, 9, 9).relu()
    norms = nn.functional.unfold(inputs, 3, stride=2, padding=1).square().sum((0, 2)).sqrt()
    scores = convolution.weight.detach().abs() * norms.view(8, 3, 3)
    kept = scores.view(16, 2, 4, 3, 3).topk(2, dim=2).indices
    expected = torch.zeros(16, 2, 4, 3, 3, dtype=torch.bool).scatter_(2, kept, True)
    sparsifier = sparsify(convolution, "2:4", "asp")
    prune_in_order(convolution, torch.split(inputs, 2), wanda.solve)
    assert torch.equal(sparsifier.mask(""), expected.view(16, 8, 3, 3))


def test_pruning_is_the_same_however_the_images_are_batched() -> None:
    whole, parts = network(), network()
    for model, batches in ((whole, [torch.cat(images())]), (parts, images())):
        sparsify(model, "2:4", "asp")
        prune_in_order(model, batches, sparsegpt.solve)
    for name in LAYERS:
        one, other = (model.get_submodule(name).weight for model in (whole, parts))
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


def test_a_layer_is_pruned_for_what_the_pruned_layers_before_it_make() -> None:
    model = network()
    sparsify(model, "2:4", "asp")
    seen = []

    def solver(
        weight: Tensor, statistics: InputStatistics, pattern: Pattern, _progress: Progress
    ) -> Solution:
        seen.append(statistics.gram.clone())
        return wanda.solve(weight, statistics, pattern)

    prune_in_order(model, images(), solver)
    with torch.no_grad():
        given = model.eval()[:10](torch.cat(images()))
    torch.testing.assert_close(seen[-1], given.T @ given)


class StopError(Exception):
    """Raised by a progress callback."""


def test_pruning_ends_within_a_layer_and_takes_back_what_it_has_done() -> None:
    model, shares = network(), list[float]()
    sparsifier = sparsify(model, "2:4", "asp")
    before = copy.deepcopy(model.state_dict())

    def interrupt(share: float) -> None:
        shares.append(share)
        if share > 0.7:  # within the third of four layers
            raise StopError

    with pytest.raises(StopError):
        prune_in_order(model, images(), admm.solve, progress=interrupt)
    assert sparsifier.searching and model.training
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert not [one for one in threading.enumerate() if one.name == "calibration"]
    assert shares == sorted(shares) and shares[-1] < 0.75
    assert len({*shares}) > 3 * (4 + 20) - 10  # batches, and iterations of the solver
    prune_in_order(model, images(), admm.solve, progress=shares.append)
    assert shares[-1] == 1


class Attention(nn.Module):
    """Query, key and value of one input, and a projection."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))

    def forward(self, tokens: Tensor) -> Tensor:
        shares = (self.query(tokens) @ self.key(tokens).transpose(1, 2)).softmax(dim=2)
        out: Tensor = self.out(shares @ self.value(tokens))
        return out.mean(dim=1)


def test_layers_of_one_input_share_its_statistics(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Attention(), nn.Linear(8, 3))
    sparsify(model, "2:4", "asp", overrides={"0.out": "2:4"})
    collected = []

    class Counted(InputStatistics):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            collected.append(self)

    monkeypatch.setattr(one_shot, "InputStatistics", Counted)
    layers = prune_in_order(model, [torch.randn(3, 5, 8)], ria.solve)
    assert [one.name for one in layers] == ["0.query", "0.key", "0.value", "0.out"]
    assert len(collected) == 2


def test_the_projections_of_attention_are_pruned_by_their_own_inputs() -> None:
    torch.manual_seed(0)
    model = _SelfAttention(nn.MultiheadAttention(8, 2, batch_first=True))
    sparsifier = sparsify(model, "2:4", "asp", overrides={"attention.out_proj": "2:4"})
    tokens, seen = torch.randn(3, 5, 8), list[Tensor]()

    def solver(
        weight: Tensor, statistics: InputStatistics, pattern: Pattern, _progress: Progress
    ) -> Solution:
        seen.append(statistics.gram.clone())
        return sparsegpt.solve(weight, statistics, pattern)

    layers = prune_in_order(model, torch.split(tokens, 2), solver)
    names = ["attention.in_proj_weight", "attention.out_proj"]
    assert [(one.name, one.tokens) for one in layers] == [(name, 15) for name in names]
    assert sparsifier.density() == 0.5
    sparsifier.finalize()
    with torch.no_grad():  # what the projection multiplies is the output if it is the identity
        nn.init.eye_(model.attention.out_proj.weight)
        multiplied = model(tokens).reshape(-1, 8)
    torch.testing.assert_close(seen[1], multiplied.T @ multiplied)


def test_torchs_fused_transformer_layers_show_their_inputs() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 2))
    sparsify(model, "2:4", "asp")
    layers = prune_in_order(model, [torch.randn(3, 5, 8)], sparsegpt.solve)
    own = ("self_attn.in_proj_weight", "self_attn.out_proj", "linear1", "linear2")
    names = [f"0.{name}" for name in own]
    assert [(one.name, one.tokens) for one in layers] == [(name, 15) for name in names]


class _SelfAttention(nn.Module):
    def __init__(self, attention: nn.MultiheadAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, tokens: Tensor) -> Tensor:
        out: Tensor = self.attention(tokens, tokens, tokens)[0]
        return out


def test_bfloat16_weights_are_solved_for_in_float32() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 4)).bfloat16()
    sparsify(model, "2:4", "asp")
    layers = prune_in_order(model, [torch.randn(40, 16).bfloat16()], sparsegpt.solve)
    error = layers[0].error
    assert error is not None and error < 0.2
    assert model[0].weight.dtype == torch.bfloat16


def refused(model: nn.Module, batches: list[Tensor], sentence: str) -> None:
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ValueError, match=sentence):
        prune_in_order(model, batches, sparsegpt.solve)
    after = model.state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())


def test_what_cannot_be_pruned_is_named_and_nothing_changes() -> None:
    model = network()
    sparsify(model, "2:4", "asp")
    refused(model, [], "nothing to calibrate with")
    with torch.no_grad():
        model.get_parameter("4.bias").fill_(torch.inf)
    refused(model, images(), "inputs of layer '6' are not finite")

    unused = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.Linear(8, 2))
    sparsify(unused, "2:4", "asp")
    unused.forward = lambda inputs: unused[0](inputs)  # type: ignore[method-assign]
    refused(unused, [torch.randn(4, 8)], "No calibration input reaches '2'")

    embedded = nn.Sequential(nn.Embedding(10, 8), nn.Linear(8, 8), nn.Linear(8, 2))
    sparsify(embedded, "2:4", "asp", overrides={"0": "2:4"})
    refused(embedded, [torch.tensor([1])], "'0' cannot be observed.*Embedding")
