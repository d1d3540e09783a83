"""Gradients are those of the published method, and the per-weight form is exact under SGD."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Literal

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.score_memory import live_memory, score_memory
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.sparsity.trained_scores import PerCombination, PerWeight

Form = Literal["per_weight", "per_combination"]
FORMS: tuple[Form, ...] = ("per_weight", "per_combination")

LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(16, 5), (7, 16)),
    "conv1d": (lambda: nn.Conv1d(8, 4, 3, padding=1), (3, 8, 6)),
    "conv2d": (lambda: nn.Conv2d(8, 4, 3, stride=2), (3, 8, 7, 6)),
    "grouped": (lambda: nn.Conv2d(16, 6, (3, 2), groups=2), (2, 16, 5, 5)),
}


def call(layer: nn.Module, weight: Tensor, data: Tensor) -> Tensor:
    """What a plain layer with this weight gives."""
    match layer:
        case nn.Linear():
            return F.linear(data, weight, layer.bias)
        case nn.Conv1d():
            return F.conv1d(data, weight, layer.bias, layer.stride, layer.padding)
        case nn.Conv2d():
            return F.conv2d(
                data, weight, layer.bias, layer.stride, layer.padding, groups=layer.groups
            )
    raise AssertionError(layer)


@pytest.mark.parametrize("form", FORMS)
def test_a_sparse_layer_can_change_its_type(form: Form) -> None:
    layer = nn.Linear(16, 5)
    scores = sparsify(layer, "2:4", scores=form).layers[""].score_parameter()
    layer.double()(torch.ones(2, 16, dtype=torch.float64)).sum().backward()
    assert scores.grad is not None and scores.grad.dtype == torch.float64
    assert bool(scores.grad.any())


def test_a_mask_has_the_order_in_memory_that_its_weight_is_given() -> None:
    layer = nn.Conv2d(8, 4, 3)
    sparsifier = sparsify(layer, "2:4")
    layer.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    assert sparsifier.layers[""].mask.stride() == sparsifier.dense_weight("").stride()
    assert sparsifier.layers[""].mask.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("live", [6, 3, 2])
def test_gradients_are_those_of_an_explicit_dense_mask(name: str, form: Form, live: int) -> None:
    torch.manual_seed(live)
    make, shape = LAYERS[name]
    layer: nn.Module = make().double()
    dense = layer.get_parameter("weight").detach().clone().requires_grad_()
    sparsifier = sparsify(layer, "2:4", scores=form)
    at = sparsifier.layers[""]
    with torch.no_grad():
        at.score_parameter().copy_(torch.randn_like(at.score_parameter()))
    sparsifier.remove(live)

    data = torch.randn(shape, dtype=torch.float64)
    masked = dense * sparsifier.mask("").double()
    masked.retain_grad()
    expected = call(layer, masked, data)
    expected.square().sum().backward()  # type: ignore[no-untyped-call]
    output = layer(data)
    output.square().sum().backward()

    assert torch.equal(output, expected)
    assert dense.grad is not None and masked.grad is not None
    original = layer.get_parameter("parametrizations.weight.original")
    assert original.grad is not None
    torch.testing.assert_close(original.grad, dense.grad, rtol=1e-12, atol=1e-12)

    gradient = at.score_parameter().grad
    assert gradient is not None
    product = at.pattern.to_blocks(dense.detach() * masked.grad)
    members = list(combinations(range(4), 2))
    assert int(sparsifier.live("").sum()) == live * at.blocks
    for block, row in enumerate(sparsifier.live("").tolist()):
        for c, lives in enumerate(row):
            wanted = float(product[block, list(members[c])].sum())
            if form == "per_combination":
                assert float(gradient[block, c]) == pytest.approx(lives * wanted, abs=1e-12)
            elif lives:
                found = at.pattern.to_blocks(gradient)[block, list(members[c])]
                assert float(found.sum()) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("live", [3, 1])
def test_gradients_can_be_penalised(form: Form, live: int) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(16, 5).double()
    dense = layer.weight.detach().clone().requires_grad_()
    sparsifier = sparsify(layer, "2:4", scores=form)
    sparsifier.remove(live)
    data = torch.randn(7, 16, dtype=torch.float64)

    def penalty(output: Tensor, weight: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(output.pow(3).sum(), weight, create_graph=True)
        (found,) = torch.autograd.grad(slope.square().sum(), weight)
        return found

    expected = penalty(F.linear(data, dense * sparsifier.mask("").double(), layer.bias), dense)
    found = penalty(layer(data), layer.get_parameter("parametrizations.weight.original"))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_a_decided_layer_computes_with_the_mask_it_has_now(form: Form) -> None:
    def decided(seed: int) -> tuple[nn.Module, Sparsifier]:
        torch.manual_seed(seed)
        layer = nn.Linear(16, 8)
        sparsifier = sparsify(layer, "2:4", scores=form)
        with torch.no_grad():
            sparsifier.layers[""].score_parameter().copy_(
                torch.randn_like(sparsifier.layers[""].score_parameter())
            )
        sparsifier.remove(1)
        return layer, sparsifier

    def check() -> None:
        original = layer.get_parameter("parametrizations.weight.original")
        weight = layer.weight
        assert isinstance(weight, Tensor)
        assert torch.equal(weight, original * sparsifier.mask(""))

    layer, sparsifier = decided(0)
    check()
    before = sparsifier.mask("")
    layer.load_state_dict(decided(1)[0].state_dict())
    assert not torch.equal(sparsifier.mask(""), before)
    check()
    for dtype in (torch.float64, torch.bfloat16):
        layer.to(dtype)
        check()
        assert layer.get_parameter("parametrizations.weight.original").dtype == dtype


@pytest.mark.parametrize("form", FORMS)
def test_scores_never_scale_the_weights(form: Form) -> None:
    layer = nn.Linear(8, 8)
    plain = layer.weight.detach().clone()
    sparsifier = sparsify(layer, "2:4", scores=form)
    with torch.no_grad():
        sparsifier.layers[""].score_parameter().mul_(1e6).add_(3)
    assert torch.equal(layer.weight, plain)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pattern", ["1:4", "2:4", "4:8", "3:5", "4:8x2"])
def test_every_score_starts_at_the_published_value(form: Form, pattern: str) -> None:
    layer = nn.Linear(40, 3).double()
    scores = sparsify(layer, pattern, scores=form).scores("")
    start = Pattern.parse(pattern).initial_score
    torch.testing.assert_close(scores, torch.full_like(scores, start), rtol=1e-14, atol=0)
    assert bool((scores == scores[0, 0]).all())  # to the last bit, or ties would not be ties


class Trial:
    """One little float64 or float32 net in training, in one form of the scores."""

    def __init__(
        self, form: Form, pattern: str, seed: int, recipe: dict[str, float | bool], double: bool
    ) -> None:
        torch.manual_seed(seed)
        self.net = nn.Sequential(
            nn.Conv1d(3, 16, 3), nn.Tanh(), nn.Conv1d(16, 16, 3), nn.Tanh(),
            nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 5),
        )  # fmt: skip
        self.net.to(torch.float64 if double else torch.float32)
        self.sparsifier = sparsify(self.net, pattern, scores=form)
        self.optimizer = torch.optim.SGD(self.net.parameters(), **recipe)  # type: ignore[arg-type]
        dtype = next(self.net.parameters()).dtype
        self.data = torch.randn(24, 3, 8, dtype=dtype)
        self.labels = torch.randint(5, (24,))

    def step(self) -> None:
        self.optimizer.zero_grad()
        F.cross_entropy(self.net(self.data), self.labels).backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()


def differences(one: Sparsifier, other: Sparsifier) -> int:
    """Blocks whose live sets are not the same."""
    return sum(int((one.live(name) != other.live(name)).any(dim=1).sum()) for name in one.layers)


def assert_forms_agree(
    pattern: str, recipe: dict[str, float | bool], seed: int, schedule: Schedule, epochs: int
) -> None:
    ours = Trial("per_weight", pattern, seed, recipe, double=True)
    published = Trial("per_combination", pattern, seed, recipe, double=True)
    assert len(ours.sparsifier.layers) == 2
    for epoch in range(1, epochs + 1):
        for trial in (ours, published):
            for _ in range(3):
                trial.step()
            trial.sparsifier.follow(schedule, epoch, trial.optimizer)
        assert differences(ours.sparsifier, published.sparsifier) == 0
        for name, layer in ours.sparsifier.layers.items():
            other = published.sparsifier.layers[name]
            assert torch.equal(layer.mask, other.mask)
            assert torch.equal(layer.winners(), other.winners())
            torch.testing.assert_close(layer.scores(), other.scores(), rtol=1e-9, atol=1e-12)
        for weight, same in zip(plain_weights(ours), plain_weights(published), strict=True):
            assert torch.equal(weight, same)
    assert not ours.sparsifier.searching and not published.sparsifier.searching


def plain_weights(trial: Trial) -> list[Tensor]:
    return [
        value
        for name, value in trial.net.named_parameters()
        if not name.endswith(("beta", "all_scores"))
    ]


RECIPES: dict[str, dict[str, float | bool]] = {
    "plain": {"lr": 0.1},
    "momentum": {"lr": 0.05, "momentum": 0.9},
    "nesterov": {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    "decay": {"lr": 0.1, "weight_decay": 0.05},
    "all": {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.02},
}


@pytest.mark.parametrize(
    ("pattern", "recipe"),
    [*((pattern, "all") for pattern in ("2:4", "4:8", "1:16", "2:16", "4:8x2"))]
    + [("2:4", recipe) for recipe in RECIPES if recipe != "all"],
)
def test_both_forms_give_identical_masks_and_weights_under_sgd(pattern: str, recipe: str) -> None:
    assert_forms_agree(pattern, RECIPES[recipe], 1, Schedule(start=1, end=9), epochs=10)


@settings(max_examples=25)
@given(
    pattern=st.sampled_from(
        ["1:2", "1:4", "3:4", "1:8", "3:8", "6:8", "2:16", "14:16", "2:4x2", "4:8x2", "8:16x4"]
    ),
    lr=st.floats(1e-3, 0.3),
    momentum=st.floats(0, 0.95),
    decay=st.floats(0, 0.1),
    dampening=st.sampled_from([0.0, 0.3]),
    seed=st.integers(0, 2**31),
    end=st.integers(1, 5),
)
def test_both_forms_agree_whatever_the_recipe(
    pattern: str, lr: float, momentum: float, decay: float, dampening: float, seed: int, end: int
) -> None:
    recipe: dict[str, float | bool] = {
        "lr": lr, "momentum": momentum, "weight_decay": decay, "dampening": dampening
    }  # fmt: skip
    assert_forms_agree(pattern, recipe, seed, Schedule(end=end), epochs=end)


def test_in_float32_only_rare_ties_fall_the_other_way() -> None:
    sparsifiers = []
    for form in FORMS:
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(256, 512), nn.Tanh(), nn.Linear(512, 10))
        sparsifier = sparsify(net, "2:4", scores=form)
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
        data, labels = torch.randn(32, 256), torch.randint(10, (32,))
        for step in range(1, 61):
            optimizer.zero_grad()
            F.cross_entropy(net(data), labels).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            sparsifier.follow(Schedule(end=60), step, optimizer)
        assert not sparsifier.searching
        sparsifiers.append(sparsifier)
    assert sparsifiers[0].layers["0"].blocks == 32_768
    assert differences(*sparsifiers) <= 40


@pytest.mark.parametrize("form", FORMS)
def test_removal_in_small_chunks_is_removal_at_once(
    form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(64, 9)
    sparsifier = sparsify(layer, "4:8", scores=form)
    at = sparsifier.layers[""]
    with torch.no_grad():
        at.score_parameter().copy_(torch.randn_like(at.score_parameter()))
    scores = sparsifier.scores("")
    monkeypatch.setattr("lbc.sparsity.sparse_layer.CHUNK_CELLS", 7 * 70)
    sparsifier.remove(11)
    assert torch.equal(sparsifier.live(""), scores >= scores.sort(1).values[:, -11:-10])
    held = sparsifier.live("").float() @ at.pattern.incidence().float() > 0
    assert torch.equal(sparsifier.mask(""), at.pattern.from_blocks(held, at.shape))
    assert torch.equal(at.winners(), scores.argmax(dim=1))


def test_scores_of_some_blocks_are_rows_of_all() -> None:
    for form in FORMS:
        sparsifier = sparsify(nn.Linear(16, 4), "2:4", scores=form)
        at = sparsifier.layers[""]
        with torch.no_grad():
            at.score_parameter().copy_(torch.randn_like(at.score_parameter()))
        rows = torch.tensor([3, 0, 15])
        assert at.live(rows).shape == at.scores(rows).shape == (3, 6)
        sparsifier.remove(3)
        assert torch.equal(at.scores(rows), at.scores()[rows])
        assert torch.equal(at.live(slice(2, 5)), at.live()[2:5])


@pytest.mark.parametrize("pattern", ["1:4", "2:4", "3:5", "7:8", "4:16", "4:8x2"])
def test_a_score_is_the_sum_in_ascending_order_of_position(pattern: str) -> None:
    layer = nn.Linear(80, 5)
    at = sparsify(layer, pattern, scores="per_weight").layers[""]
    with torch.no_grad():
        at.score_parameter().copy_(torch.randn_like(at.score_parameter()))
    width = at.pattern.width
    positions = at.position_scores()
    groups = [sum(positions[:, j : j + width].unbind(1)) for j in range(0, at.pattern.m, width)]
    for c, members in enumerate(at.pattern.units.members.tolist()):
        total = groups[members[0]]
        for member in members[1:]:
            total = total + groups[member]
        assert torch.equal(at.scores()[:, c], total)  # to the last bit


@pytest.mark.parametrize("form", FORMS)
def test_scores_that_are_handed_out_are_a_copy(form: Form) -> None:
    sparsifier = sparsify(nn.Linear(16, 4), "2:4", scores=form)
    before = sparsifier.scores("")
    sparsifier.scores("").zero_()
    assert torch.equal(sparsifier.scores(""), before)


def test_what_a_position_adds_to_its_combinations() -> None:
    by_weight = PerWeight("", torch.zeros(1, 4), Pattern(2, 4))
    by_combination = PerCombination("", torch.zeros(1, 4), Pattern(2, 4))
    with torch.no_grad():
        by_weight.beta.copy_(torch.tensor([[4.0, 3.0, 2.0, 1.0]]))
        by_combination.all_scores.copy_(torch.tensor([[12.0, 9.0, 6.0, 6.0, 3.0, 0.0]]))
    assert by_weight.scores().tolist() == [[7, 6, 5, 5, 4, 3]]
    assert by_weight.position_scores().tolist() == [[4, 3, 2, 1]]
    assert by_combination.position_scores().tolist() == [[9, 7, 5, 3]]
    by_combination.remove(2)  # {0,1} and {0,2} live
    assert by_combination.position_scores().tolist() == [[10.5, 12, 9, 0]]
    for layer, stored in ((by_weight, by_weight.beta), (by_combination, by_combination.all_scores)):
        found, is_per_weight = layer.stored_scores()
        assert torch.equal(found, stored) and not found.requires_grad
        assert is_per_weight is (layer is by_weight)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("pattern", [Pattern(2, 4), Pattern(4, 8), Pattern(1, 16)])
def test_score_memory_is_what_the_tensors_take(form: Form, pattern: Pattern) -> None:
    layer = nn.Linear(64, 32)
    sparsifier = sparsify(layer, pattern, scores=form)
    at = sparsifier.layers[""]
    optimizer = torch.optim.SGD([at.score_parameter()], lr=0.1, momentum=0.9)
    layer(torch.ones(1, 64)).sum().backward()
    optimizer.step()
    sparsifier.remove(2, optimizer)
    parameter = at.score_parameter()
    assert parameter.grad is not None
    buffer = optimizer.state[parameter]["momentum_buffer"]
    held = [parameter, parameter.grad, buffer, at.packed, at.mask]
    taken = sum(tensor.numel() * tensor.element_size() for tensor in held)
    assert score_memory((32, 64), pattern, form, copies=3) == taken
    assert live_memory((32, 64), pattern) == at.packed.numel()
