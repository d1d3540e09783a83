"""Bi-Mask: N:M in both directions, with the gradients that the paper states."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.compliance import check
from lbc.sparsity.conductor import Conductor
from lbc.sparsity.methods.bi_mask import BiMaskLayer, largest_along
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from tests.sparsity.methods.networks import (
    OPTIMIZERS,
    assert_obeys_to_the_end,
    assert_resumes_in_mid_schedule,
    refused,
)

PULL = 2e-4

CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(8, 12), (5, 8)),
    "sequence": (lambda: nn.Linear(8, 8, bias=False), (3, 4, 8)),
    "vector": (lambda: nn.Linear(8, 8), (8,)),
    "conv1d": (lambda: nn.Conv1d(8, 8, 3, padding="same", dilation=2), (2, 8, 9)),
    "uneven": (lambda: nn.Conv1d(8, 8, 4, padding="same"), (2, 8, 9)),
    "conv2d": (lambda: nn.Conv2d(8, 12, (3, 2), stride=(2, 1), padding=(1, 0)), (2, 8, 7, 6)),
    "image": (lambda: nn.Conv2d(8, 8, 3), (8, 5, 6)),
    "circular": (lambda: nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"), (2, 8, 5, 5)),
    "grouped": (lambda: nn.Conv2d(16, 8, 3, groups=2, bias=False, padding="valid"), (2, 16, 5, 5)),
    "conv3d": (lambda: nn.Conv3d(4, 4, 2, padding=1), (2, 4, 3, 3, 3)),
}


def bi_masked(
    module: nn.Module, pattern: str = "2:4", draws: int = 5
) -> tuple[Sparsifier, Conductor]:
    sparsifier = sparsify(module, pattern, {"name": "bi-mask", "draws": draws, "interval": 2})
    return sparsifier, sparsifier.conduct(None, 10, 5, seed=3)


def slow_backward_mask(masked: Tensor, order: Tensor, pattern: Pattern) -> Tensor:
    """b′ by sorting every M rows, in their order, at every coordinate of the rest."""
    rows = masked.flatten(1).abs()
    mask = torch.zeros_like(rows, dtype=torch.bool)
    for first in range(0, len(order), pattern.m):
        block = order[first : first + pattern.m].tolist()
        for column in range(rows.shape[1]):
            best = sorted(range(pattern.m), key=lambda j: (-float(rows[block[j], column]), j))
            for j in best[: pattern.n]:
                mask[block[j], column] = rows[block[j], column] > 0
    return mask.view_as(masked)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("kind", CASES)
def test_gradients_are_those_of_the_two_masks(kind: str) -> None:
    torch.manual_seed(0)
    build, shape = CASES[kind]
    module = build().double()
    plain, other = copy.deepcopy(module), copy.deepcopy(module)
    sparsifier, conductor = bi_masked(module)
    conductor.before_step(1)
    layer = sparsifier.layers[""]
    assert isinstance(layer, BiMaskLayer) and layer.groups == getattr(module, "groups", 1)
    assert not torch.equal(layer.order, torch.arange(len(layer.order)))
    inputs = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    dense = sparsifier.dense_weight("")
    output = module(inputs)
    up = torch.randn_like(output)
    output.backward(up)

    b = sparsifier.mask("")
    masked = dense.detach() * b
    b_back = slow_backward_mask(masked, layer.order, layer.pattern)
    assert 0 < int(b_back.sum()) < int(b.sum()) and not (b_back & ~b).any()
    for module_, mask in ((plain, b), (other, b_back)):
        module_.weight.data = dense.detach() * mask
    expected = plain(inputs.detach())
    assert torch.equal(output, expected)
    expected.backward(up)
    assert dense.grad is not None
    through_mask = dense.grad - PULL * (~b) * dense.detach()
    torch.testing.assert_close(through_mask, plain.weight.grad)
    if module.bias is not None:
        torch.testing.assert_close(module.bias.grad, plain.bias.grad)
    through = inputs.detach().clone().requires_grad_()
    other(through).backward(up)
    torch.testing.assert_close(inputs.grad, through.grad)
    torch.testing.assert_close(layer.pictures()["backward mask"].values, b_back)
    assert conductor.numbers() == {"|b′| / |b|": int(b_back.sum()) / int(b.sum())}


@pytest.mark.parametrize("pattern", ["1:4", "2:4", "4:8"])
def test_the_transpose_of_the_backward_mask_obeys_the_pattern(pattern: str) -> None:
    torch.manual_seed(1)
    module = nn.Conv2d(16, 16, 3, groups=2)
    sparsifier, conductor = bi_masked(module, pattern)
    conductor.before_step(1)
    layer = sparsifier.layers[""]
    assert isinstance(layer, BiMaskLayer)
    assert sorted(layer.order[:8].tolist()) == list(range(8))  # rows stay in their group
    masked = layer.seen * layer.largest(layer.seen)
    back = layer.backward_weight(masked)[layer.order]
    assert check(back.transpose(0, 1), layer.pattern).valid
    assert check(back, layer.pattern).valid


def test_pictures_show_which_outputs_share_a_block_and_what_its_backward_mask_keeps() -> None:
    module = nn.Linear(4, 4, bias=False)
    with torch.no_grad():  # the masks of outputs 0 and 1 are alike, and those of 2 and 3
        module.weight.copy_(torch.tensor([[2.0, 1, 2, 1]] * 2 + [[1.0, 2, 1, 2]] * 2))
    sparsifier, _ = bi_masked(module, "1:2")
    layer = sparsifier.layers[""]
    layer.order.copy_(torch.tensor([2, 0, 1, 3]))  # type: ignore[operator]
    shown = layer.pictures()
    block = shown["backward block"]
    assert block.values.tolist() == [[0], [1], [0], [1]] and block.high == 1
    kept, alone = shown["kept by b′"], shown["kept in row order"]
    assert kept.values.tolist() == [[1]] * 4 and kept.caption.endswith("100.00% of the layer's.")
    assert (kept.low, kept.high) == (alone.low, alone.high) == (0.5, 1)
    assert alone.values.tolist() == [[0.5]] * 4 and alone.caption.endswith("50.00% of the layer's.")


def test_the_largest_along_the_outputs_are_exactly_n_with_ties() -> None:
    sizes = torch.randint(3, (50, 8, 6)).float()
    for n in range(1, 8):
        kept = largest_along(sizes, n)
        assert (kept.sum(1) == n).all()
        order = sizes.argsort(dim=1, descending=True, stable=True)[:, :n]
        assert torch.equal(kept, torch.zeros_like(kept).scatter(1, order, True))


def test_where_no_backward_mask_fits_it_is_sr_ste() -> None:
    def gradients(method: str) -> list[Tensor]:
        torch.manual_seed(2)
        model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 8))
        sparsifier = sparsify(model, "2:4", method, overrides={"0": "2:4"})
        sparsifier.conduct(None, 10, 5).before_step(1)
        inputs = torch.randn(4, 8, requires_grad=True)
        model(inputs).square().sum().backward()
        return [inputs.grad, *(one.grad for one in model.parameters())]  # type: ignore[list-item]

    for ours, theirs in zip(gradients("bi-mask"), gradients("sr-ste"), strict=True):
        assert torch.equal(ours, theirs)


def test_other_modules_have_one_mask_in_both_directions() -> None:
    torch.manual_seed(3)
    model = nn.ModuleDict({
        "attention": nn.MultiheadAttention(8, 2), "up": nn.ConvTranspose1d(8, 8, 3),
        "odd": _Doubled(8, 8),
    })  # fmt: skip
    sparsifier = sparsify(model, "2:4", "bi-mask", overrides={"*": "2:4"})
    conductor = sparsifier.conduct(None, 10, 5)
    conductor.before_step(1)
    groups = {k: one.groups for k, one in sparsifier.layers.items() if isinstance(one, BiMaskLayer)}
    # The output projection of attention is a Linear that attention does not call.
    assert {name for name, count in groups.items() if count} == set()


class _Doubled(nn.Linear):
    def forward(self, input: Tensor) -> Tensor:
        return 2 * F.linear(input, self.weight, self.bias)


def test_the_search_takes_the_best_draw_and_zero_draws_none() -> None:
    torch.manual_seed(4)
    module = nn.Linear(64, 64)
    sparsifier, conductor = bi_masked(module, "1:4", draws=0)
    layer = sparsifier.layers[""]
    assert isinstance(layer, BiMaskLayer)
    for step in (1, 2):
        conductor.before_step(step)
    assert torch.equal(layer.order, torch.arange(64))
    own = conductor.numbers()["|b′| / |b|"]
    sparsifier, conductor = bi_masked(nn.Linear(64, 64), "1:4", draws=40)
    layer = sparsifier.layers[""]
    assert isinstance(layer, BiMaskLayer)
    layer.see(module.parametrizations.weight.original)  # type: ignore[union-attr, arg-type]
    layer.sync_live_sets()
    conductor.before_step(1)
    mask = layer.mask.view(torch.uint8)
    draws = torch.Generator().manual_seed(0)
    typical = [layer.kept_by(mask, torch.randperm(64, generator=draws)) for _ in range(20)]
    best = layer.kept_by(mask, layer.order)
    assert best >= sorted(typical)[-2] and 0.5 < own < 0.8
    kept = layer.order.clone()
    conductor.before_step(2)  # no search is due
    assert torch.equal(layer.order, kept)
    conductor.before_step(3)
    assert not torch.equal(layer.order, kept)


def test_copies_have_the_product_and_finalizing_removes_it() -> None:
    torch.manual_seed(5)
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 2))
    sparsifier, conductor = bi_masked(model)
    conductor.before_step(1)
    twin = copy.deepcopy(sparsifier)
    inputs = torch.randn(4, 8)

    def gradients(one: nn.Module) -> list[Tensor]:
        given = inputs.clone().requires_grad_()
        one(given).sum().backward()
        assert given.grad is not None
        return [given.grad, *(each.grad for each in one.parameters() if each.grad is not None)]

    for ours, theirs in zip(gradients(model), gradients(twin.model), strict=True):
        assert torch.equal(ours, theirs)
    with torch.no_grad():  # a copy follows its own weights
        twin.dense_weight("0").mul_(-1)
    assert not torch.equal(gradients(model)[0], gradients(twin.model)[0])
    evaluated = model(inputs)
    for one in (twin, sparsifier):
        one.finalize()
        assert not any("forward" in vars(module) for module in one.model.modules())
        assert check(one.model[2].weight, Pattern(2, 4)).valid  # type: ignore[index]
    assert torch.equal(model(inputs), evaluated)
    assert set(model.state_dict()) == {f"{k}.{at}" for k in "024" for at in ("weight", "bias")}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, while it compiles
def test_compiled_gradients_are_those_of_eager_training() -> None:
    torch.manual_seed(6)
    model = nn.Sequential(nn.Conv2d(4, 8, 5), nn.Flatten(), nn.Linear(8, 8), nn.Linear(8, 2))
    _, conductor = bi_masked(model, "2:4")
    conductor.before_step(1)
    inputs = torch.randn(2, 4, 5, 5, requires_grad=True)
    compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
    found = []
    for run in (model, compiled):
        model.zero_grad()
        inputs.grad = None
        run(inputs).square().sum().backward()
        found.append([inputs.grad, *(one.grad for one in model.parameters())])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs)
    torch._dynamo.reset()


def test_a_run_resumed_between_searches_ends_in_the_same_bits(tmp_path: Path) -> None:
    sparsifier = assert_resumes_in_mid_schedule(
        {"name": "bi-mask", "interval": 4, "draws": 4}, "adamw", tmp_path
    )
    for layer in sparsifier.layers.values():
        assert isinstance(layer, BiMaskLayer)
        assert layer.order.tolist() != sorted(layer.order.tolist())


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("pattern", ["2:4", "1:4"])
def test_what_is_left_in_the_end_obeys_the_pattern(optimizer: str, pattern: str) -> None:
    assert_obeys_to_the_end({"name": "bi-mask", "interval": 3, "draws": 3}, optimizer, pattern)


def test_options_out_of_bounds_are_refused_in_a_sentence() -> None:
    with pytest.raises(ExperimentError, match=r"method.interval.*Must be at least 1, not 0"):
        refused(method={"name": "bi-mask", "interval": 0})
    with pytest.raises(ExperimentError, match=r"pattern.*bi-mask cannot train 4:8x2: .* groups"):
        refused(method="bi-mask", pattern="4:8x2")
    with pytest.raises(ExperimentError, match="bi-mask has no such option; did you mean 'draws'"):
        refused(method={"name": "bi-mask", "drawn": 3})
