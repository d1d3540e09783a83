"""MaskLLM samples masks by trained logits, tests the likeliest, and leaves the weights alone."""

from __future__ import annotations

from copy import deepcopy
from itertools import combinations
from math import exp
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from lbc import sparsify
from lbc.config import parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.compliance import check
from lbc.sparsity.method_options.maskllm import Options
from lbc.sparsity.methods.maskllm import MaskLlmLayer
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.score_memory import score_memory
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.trainer import Trainer
from tests.sparsity.methods.pretrained import (
    STEPS_PER_EPOCH,
    assert_ends_with_the_weights_it_began_with,
    assert_resumes_in_mid_schedule,
    experiment_from,
    kinds,
    weights_before,
)
from tests.sparsity.networks import perceptron

STEPS = 20


def conducted(
    model: nn.Module, pattern: str = "2:4", **options: object
) -> tuple[Sparsifier, MaskLlmLayer]:
    sparsifier = sparsify(model, pattern, {"name": "maskllm", **options})
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    sparsifier.conduct(optimizer, STEPS, 10, Schedule(end=2), seed=7)
    sparsifier.optimizer_kept = optimizer  # type: ignore[attr-defined]
    return sparsifier, cast(MaskLlmLayer, next(iter(sparsifier.layers.values())))


def of(module: nn.Module) -> Tensor:
    """The weight that a module computes with."""
    return cast(Tensor, module.weight)


def below(model: nn.Module) -> nn.Parameter:
    return cast(nn.Parameter, model.parametrizations.weight.original)  # type: ignore[union-attr]


def slow_mask(layer: MaskLlmLayer, scale: float, temperature: float, hard: bool) -> Tensor:
    """m of every block by the formula, block by block."""
    pattern, noise, logits_of = layer.pattern, cast(Tensor, layer.noise), layer.logits.tolist()
    held = [*combinations(range(pattern.m), pattern.n)]
    rows = []
    for block in range(layer.blocks):
        gumbel = [-float(noise[c, block]) for c in range(len(held))]
        logits = [logits_of[c][block] for c in range(len(held))]
        powers = [exp((scale * p + g) / temperature) for p, g in zip(logits, gumbel, strict=True)]
        shares = [power / sum(powers) for power in powers]
        if hard:
            shares = [float(share == max(shares)) for share in shares]
        rows.append([
            sum(share for share, members in zip(shares, held, strict=True) if j in members)
            for j in range(pattern.m)
        ])  # fmt: skip
    return pattern.from_blocks(torch.tensor(rows, dtype=torch.float64), layer.shape)


@pytest.mark.parametrize("hard", [False, True])
@pytest.mark.parametrize("kind", ["linear", "conv2d", "grouped"])
def test_a_sample_is_the_formula(kind: str, hard: bool) -> None:
    module = kinds()[kind]
    sparsifier, layer = conducted(module, hard=hard)
    sparsifier.conductor.before_step(6)  # a quarter of the schedule is over
    mask = slow_mask(layer, 10 + 90 / 4, 4 - 3.95 / 4, hard)
    torch.testing.assert_close(of(module), below(module) * mask, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("pattern", ["2:4", "1:4"])
def test_gradients_of_loss_and_reward_are_those_of_finite_differences(pattern: str) -> None:
    module = nn.Linear(8, 1).double()
    sparsifier, layer = conducted(module, pattern, reward=0.5, temperature_from=2.0, scale_from=1.0)
    sparsifier.conductor.before_step(1)
    target = torch.randn(1, 8, dtype=torch.float64)

    def loss(logits: Tensor) -> Tensor:
        with torch.no_grad():
            layer.logits.copy_(logits)
        layer.logits.grad = None
        value = (of(module) * target).square().sum()
        penalty = sparsifier.conductor.penalty()
        assert penalty is not None
        torch.testing.assert_close(penalty, -0.5 * of(module).square().sum())
        return value + penalty

    start = layer.logits.detach().clone()
    loss(start).backward()  # type: ignore[no-untyped-call]
    gradient = cast(Tensor, layer.logits.grad).clone()
    for place in range(start.numel()):
        step = torch.zeros_like(start).view(-1)
        step[place] = 1e-6
        step = step.view_as(start)
        numeric = (loss(start + step) - loss(start - step)) / 2e-6
        torch.testing.assert_close(gradient.view(-1)[place], numeric.detach(), rtol=1e-5, atol=1e-8)


def test_a_layer_that_the_loss_does_not_reach_has_the_reward_alone() -> None:
    module = kinds()["conv2d"]
    sparsifier, layer = conducted(module, reward=0.5)
    gradients = []
    for unused in (True, False):
        layer.logits.grad = None
        sparsifier.conductor.before_step(1)
        weight = of(module)
        penalty = sparsifier.conductor.penalty()
        assert penalty is not None
        loss = penalty if unused else -0.5 * weight.square().sum()
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append(cast(Tensor, layer.logits.grad))
    torch.testing.assert_close(*gradients)


def test_a_hard_sample_has_the_gradient_of_its_shares() -> None:
    gradients = []
    for hard in (False, True):
        module = kinds()["linear"]
        sparsifier, layer = conducted(module, hard=hard)
        sparsifier.conductor.before_step(3)
        loss = of(module).sum()  # linear in W̃, so that the gradient of the shares is the same
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append(cast(Tensor, layer.logits.grad))
    assert torch.equal(*gradients)


def test_noise_does_not_reach_what_is_tested_or_recorded() -> None:
    module = kinds()["conv2d"]
    sparsifier, layer = conducted(module)
    sparsifier.conductor.before_step(1)
    sampled = of(module).detach().clone()
    scores, winners = sparsifier.scores(""), layer.winners()
    module.eval()
    held = layer.pattern.incidence()[layer.logits.argmax(0)]
    kept = layer.pattern.from_blocks(held, layer.shape)
    assert torch.equal(of(module), below(module) * kept)
    assert torch.equal(of(module), below(module) * kept) and sparsifier.density() == 1
    torch.testing.assert_close(scores.sum(1), torch.ones(layer.blocks, dtype=torch.float64))
    assert torch.equal(winners, layer.logits.argmax(0))
    module.train()
    sparsifier.conductor.before_step(2)
    assert not torch.equal(of(module), sampled)
    assert torch.equal(layer.winners(), winners)
    expected = layer.pictures()["Expected mask"].values
    held = layer.pattern.incidence().double()
    torch.testing.assert_close(layer.pattern.to_blocks(expected), layer.scores() @ held)
    best = layer.pictures()["Probability of the likeliest"].values
    assert torch.equal(best != 0, kept)
    torch.testing.assert_close(layer.pattern.to_blocks(best).amax(1), layer.scores().amax(1))


def test_noise_depends_on_seed_step_and_layer_alone() -> None:
    model = nn.Sequential(nn.Linear(8, 6), nn.Linear(8, 6))
    sparsifier = sparsify(model, "2:4", "maskllm", overrides={"1": "2:4"})

    def drawn(step: int, seed: int = 7) -> list[Tensor]:
        sparsifier.conduct(None, STEPS, 10, Schedule(end=2), seed=seed)
        sparsifier.conductor.before_step(step)
        layers = cast("list[MaskLlmLayer]", [*sparsifier.layers.values()])
        return [cast(Tensor, layer.noise).clone() for layer in layers]

    first, again, later, other = drawn(3), drawn(3), drawn(4), drawn(3, seed=8)
    assert torch.equal(first[0], again[0]) and torch.equal(first[1], again[1])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[0], later[0]) and not torch.equal(first[0], other[0])


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_noise_is_that_of_gumbel(kind: torch.dtype) -> None:
    layer = MaskLlmLayer("", torch.zeros(128, 401 * 4, dtype=kind), Pattern(2, 4))
    layer.draw(torch.Generator().manual_seed(0))
    rates = cast(Tensor, layer.noise).double().exp().flatten().sort().values  # of E ~ Exp(1)
    places = torch.arange(1, len(rates) + 1) / len(rates)
    # Kolmogorov and Smirnov: 2.2 / √n is exceeded with probability 10⁻⁴.
    assert float((1 - (-rates).exp() - places).abs().max()) < 2.2 / len(rates) ** 0.5


def test_scale_and_temperature_move_as_the_preview_says() -> None:
    module = kinds()["linear"]
    sparsifier, layer = conducted(module)
    schedule = Schedule(end=2)
    temperature, scale = sparsifier.options.courses(schedule, 3)
    for step in (1, 2, 11, STEPS):
        sparsifier.conductor.before_step(step)
        expected = [course.at((step - 1) / 10) for course in (scale, temperature)]
        assert layer.clock.tolist() == pytest.approx(expected)
    numbers = sparsifier.conductor.numbers()
    assert numbers["Temperature"] == pytest.approx(temperature.at(1.9))
    assert 0 < numbers["Likeliest"] <= 1
    assert temperature.at(2) == temperature.at(3) == pytest.approx(0.05)
    assert (temperature.at(0), scale.at(0), scale.at(2)) == (4, 10, 100)
    options = Options()
    assert [options.live(schedule, layer.pattern, at) for at in (0, 1.9, 2)] == [6, 6, 1]


def test_first_logits_are_noise_and_the_prior() -> None:
    module, plain = kinds()["conv2d"], kinds()["conv2d"]
    _, layer = conducted(module, deviation=0.5)
    _, without = conducted(plain, deviation=0.5, prior="none")
    noise = without.logits.detach()
    assert 0.4 < float(noise.std()) < 0.6 and abs(float(noise.mean())) < 0.1
    pattern, logits = layer.pattern, layer.logits.tolist()
    blocks = pattern.to_blocks(below(module).detach().abs())
    for block in range(layer.blocks):
        kept = {int(j) for j in blocks[block].topk(2).indices}
        for c, members in enumerate(combinations(range(4), pattern.n)):
            added = 3 * float(noise.std()) * (len(kept & {*members}) - 1)
            assert logits[c][block] == pytest.approx(float(noise[c, block]) + added)


def test_a_transposed_weight_has_the_prior_of_its_own_blocks() -> None:
    module = nn.ConvTranspose1d(8, 8, 3)
    sparsifier = sparsify(module, "2:4", {"name": "maskllm", "prior_strength": 100.0})
    sparsifier.conduct(None, STEPS, 10)
    (layer,) = cast("list[MaskLlmLayer]", [*sparsifier.layers.values()])
    sizes = layer.pattern.to_blocks(below(module).detach().transpose(0, 1).abs())
    held = layer.pattern.incidence()[layer.logits.argmax(0)]
    assert torch.equal(held, sizes >= sizes.topk(2).values[:, -1:])


@pytest.mark.parametrize("prior", ["wanda", "sparsegpt"])
def test_the_prior_is_what_calibration_images_decide(prior: str) -> None:
    model, images = perceptron(), [torch.randn(64, 16) * torch.arange(1, 17)]
    pruned, masked = deepcopy(model), deepcopy(model)
    run: dict[str, Any] = {"batches": lambda _: iter(images), "seed": 1}
    one_shot = sparsify(pruned, "2:4", prior)
    one_shot.conduct(None, STEPS, 10, **run)
    one_shot.decide()
    before = deepcopy(masked.state_dict())
    sparsifier = sparsify(masked, "2:4", {"name": "maskllm", "prior": prior, "deviation": 1e-3})
    sparsifier.conduct(None, STEPS, 10, **run)
    for name, layer in cast("dict[str, MaskLlmLayer]", sparsifier.layers).items():
        likeliest = layer.pattern.incidence()[layer.logits.argmax(0)]
        decided = layer.pattern.to_blocks(one_shot.mask(name))
        assert float((likeliest == decided).float().mean()) > 0.95  # three deviations apart
        assert layer.live_count == 6
        assert torch.equal(sparsifier.dense_weight(name), before[f"{name}.weight"])


@pytest.mark.parametrize("fades", [True, False])
def test_the_reward_fades_if_it_should(fades: bool) -> None:
    module = kinds()["linear"]
    sparsifier, _ = conducted(module, reward=0.25, reward_fades=fades)
    for step in (1, 11):
        sparsifier.conductor.before_step(step)
        size = of(module).square().sum()
        left = 1 - (step - 1) / STEPS if fades else 1
        penalty = sparsifier.conductor.penalty()
        assert penalty is not None
        torch.testing.assert_close(penalty, -0.25 * left * size)
    assert sparsifier.conductor.penalty() is None  # each sample is rewarded once


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_run_ends_with_the_weights_it_began_with(optimizer: str, tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, {"name": "maskllm"}, optimizer, clip_norm=0.5)
    assert_ends_with_the_weights_it_began_with(experiment, tmp_path)


def test_a_run_resumes_in_mid_schedule(tmp_path: Path) -> None:
    experiment = experiment_from(tmp_path, {"name": "maskllm", "lr_scale": 5.0}, "adamw")
    assert_resumes_in_mid_schedule(experiment, tmp_path)


def test_after_the_schedule_the_weights_are_trained_under_the_fixed_mask(tmp_path: Path) -> None:
    method: dict[str, object] = {"name": "maskllm", "lr_scale": 5.0}
    experiment = experiment_from(tmp_path, method, epochs=3, accumulate=2)
    trainer = Trainer(experiment, tmp_path / "run")
    trainer.train()
    before = weights_before(tmp_path)
    sparsifier = trainer._sparsifier
    for name in sparsifier.layers:
        weight = sparsifier.dense_weight(name).detach()
        assert not torch.equal(weight, before[f"{name}.weight"])
        assert sparsifier.dense_weight(name).requires_grad
    rates = [group["lr"] for group in trainer._optimizer.param_groups]
    assert rates[0] < 0.02  # not those of the logits
    assert_resumes_in_mid_schedule(experiment, tmp_path)
    assert trainer._prepared.steps == 3 * STEPS_PER_EPOCH


@pytest.mark.parametrize("kind", ["linear", "conv2d", "grouped"])
def test_deciding_leaves_the_largest_logits(kind: str) -> None:
    module = kinds()[kind]
    sparsifier, layer = conducted(module)
    sparsifier.conductor.before_step(1)
    of(module).sum().backward()  # type: ignore[no-untyped-call]
    largest = layer.pattern.incidence()[layer.logits.argmax(0)]
    sparsifier.decide()
    assert (layer.live_count, layer.density) == (1, 0.5)
    assert torch.equal(layer.pattern.to_blocks(layer.mask), largest)
    assert check(of(module).detach(), layer.pattern).valid
    assert not layer.logits.requires_grad and below(module).requires_grad
    sparsifier.finalize()
    found = check(of(module).detach(), layer.pattern)
    assert found.valid and found.density == 0.5


def test_a_layer_is_copied_moved_and_stored() -> None:
    module = kinds()["conv2d"]
    sparsifier, layer = conducted(module)
    sparsifier.conductor.before_step(1)
    of(module).sum()  # its reward is not taken
    twin = deepcopy(module)
    twin.load_state_dict(module.state_dict())
    assert torch.equal(of(twin.eval()), of(module.eval()))
    moved = deepcopy(module).float().train()
    copied = cast(MaskLlmLayer, moved.parametrizations.weight[0])  # type: ignore[union-attr, index]
    copied.draw(torch.Generator().manual_seed(0))
    assert of(moved).dtype == torch.float32
    assert of(moved.bfloat16().eval()).dtype == torch.bfloat16
    assert copied.logits.dtype == torch.float32 and copied.clock.tolist() == layer.clock.tolist()
    average = torch.optim.swa_utils.AveragedModel(module)
    sparsifier.decide()
    assert torch.equal(of(average.module) != 0, layer.mask)


@pytest.mark.filterwarnings("ignore")  # torch.compile warns about torch's own code
def test_a_compiled_layer_samples_the_same() -> None:
    module = kinds()["conv2d"].float()
    sparsifier, layer = conducted(module)
    images = torch.randn(2, 8, 6, 6)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    for step in (1, 8):
        sparsifier.conductor.before_step(step)
        outputs = []
        for each in (module, compiled):
            layer.logits.grad = None
            output = each(images)
            output.square().sum().backward()
            outputs.append((output, cast(Tensor, layer.logits.grad)))
        torch.testing.assert_close(*outputs)
    module.eval()
    torch.testing.assert_close(compiled(images), module(images))


def test_memory_counts_logits_gradient_moments_noise_and_shares() -> None:
    shape, pattern = (64, 64), Pattern(2, 4)
    needed = score_memory(shape, pattern, "per_combination", 4 + 2)
    options: dict[str, Any] = {"method": "maskllm", "memory_limit": needed - 1}
    with pytest.raises(ValueError, match="Per-combination scores would take"):
        sparsify(nn.Linear(64, 64), "2:4", **options)
    sparsify(nn.Linear(64, 64), "2:4", **options | {"memory_limit": needed})


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({}, "training.weights: maskllm chooses among the weights of a trained network and "),
        ({"scores": "per_weight"}, "scores: The scores of maskllm are stored per_combination"),
        ({"method": {"name": "maskllm", "temperature_to": 0}}, "Must be at least 0.001, not 0."),
        ({"method": {"name": "maskllm", "prior": "random"}}, "method.prior: "),
    ],
)
def test_bad_settings_are_refused_with_a_sentence(sections: dict[str, object], said: str) -> None:
    with pytest.raises(ExperimentError) as caught:
        parse_experiment({"method": "maskllm", **sections})
    assert said in str(caught.value)
    parse_experiment({"method": "maskllm", "training": {"weights": "dense.pt"}})
    parse_experiment({"method": "maskllm", "model": {"import": "networks:trained"}})
