"""Every way to compute a step obeys the masks and gives the same results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from lbc.config import Experiment, Optimizer, Training
from lbc.inspection import inspect_checkpoint
from lbc.models import ConvNet
from lbc.runs.events import EpochDone, Event, StepDone
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training.failures import TrainingError
from lbc.training.optimizer import build_optimizer
from lbc.training.ranks import SINGLE_PROCESS
from lbc.training.step import StepInfo, Stepper
from lbc.training.trainer import Trainer
from lbc.training.weight_average import WeightAverage

MakeExperiment = Callable[..., Experiment]

CPU = torch.device("cpu")
LABELS = torch.arange(8) % 4


def images() -> Tensor:
    return torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class Learner:
    """A small sparsified model and its stepper; ``settings`` are training settings."""

    def __init__(self, model: nn.Module | None = None, form: Any = "per_weight", **settings: Any):
        torch.manual_seed(0)
        model = model or ConvNet(3, 8, 4, width=8, depth=2)
        self.sparsifier = sparsify(model, "2:4", scores=form)
        if settings.get("channels_last"):
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        training = Training(batch_size=8, **settings)
        self.optimizer = build_optimizer(model, Optimizer(lr=0.1))
        self.stepper = Stepper(self.sparsifier, self.optimizer, training, 0, CPU, SINGLE_PROCESS)
        self.steps = 0

    def learn(self, labels: Tensor = LABELS, batch: Tensor | None = None) -> float:
        self.steps += 1
        batch = images() if batch is None else batch
        info = StepInfo(self.steps, self.steps / 4, 0.1)
        return self.stepper.step(batch, labels, info, len(batch))

    def weights(self) -> dict[str, Tensor]:
        return {k: v.clone() for k, v in self.sparsifier.model.state_dict().items()}


def mlp(**settings: Any) -> Learner:
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU()]
    return Learner(nn.Sequential(*layers, nn.Linear(16, 4)), **settings)


@pytest.mark.parametrize("form", ["per_weight", "per_combination"])
@pytest.mark.parametrize(
    "settings",
    [
        {"precision": "bfloat16"},
        {"precision": "float16"},
        {"channels_last": True},
        {"channels_last": True, "precision": "bfloat16", "accumulate": 2, "clip_norm": 1.0},
    ],
    ids=str,
)
def test_masks_hold_and_the_loss_matches_full_precision(
    form: str, settings: dict[str, Any]
) -> None:
    learner, plain = Learner(form=form, **settings), Learner(form=form)
    for live in (6, 5, 3, 1):
        for each in (learner, plain):
            each.sparsifier.remove(live, each.optimizer)
        masked = {name: ~at.mask for name, at in learner.sparsifier.layers.items()}
        before = learner.weights()
        loss, expected = learner.learn(), plain.learn()
        assert loss == pytest.approx(expected, abs=0.05)
        for name, removed in masked.items():
            layer = learner.sparsifier.model.get_submodule(name)
            weight = layer.weight
            assert isinstance(weight, Tensor)
            assert not weight[removed].any()
            dense = f"{name}.parametrizations.weight.original"
            after = learner.weights()[dense]
            # Removed weights receive no gradient; only weight decay changes them.
            assert torch.allclose(after[removed], before[dense][removed], rtol=0.02, atol=1e-2)
        assert learner.weights()[dense].dtype == torch.float32


def test_accumulated_parts_equal_the_whole_batch() -> None:
    whole, parts = mlp(), mlp(accumulate=3)
    for _ in range(4):
        assert whole.learn() == pytest.approx(parts.learn(), rel=1e-5)
    for name, weight in whole.weights().items():
        assert torch.allclose(weight.float(), parts.weights()[name].float(), atol=1e-6), name


@pytest.mark.parametrize("limit", [0.01, 0.5])
def test_clipping_scales_all_gradients_by_one_factor(limit: float) -> None:
    clipped, free = mlp(clip_norm=limit), mlp()
    clipped.learn()
    free.learn()
    scores = {id(at.score_parameter()) for at in free.sparsifier.layers.values()}
    pairs = list(
        zip(free.sparsifier.model.parameters(), clipped.sparsifier.model.parameters(), strict=True)
    )
    norms = [one.grad.norm() for one, _ in pairs if id(one) not in scores]  # type: ignore[union-attr]
    norm = float(torch.stack(norms).norm())
    assert norm > limit
    for one, other in pairs:
        assert one.grad is not None and other.grad is not None
        assert torch.allclose(other.grad, one.grad * (limit / norm), rtol=1e-3)


def test_both_forms_of_scores_are_clipped_alike() -> None:
    one, other = Learner(clip_norm=0.05), Learner(form="per_combination", clip_norm=0.05)
    for live in (6, 4, 2, 1):
        for each in (one, other):
            each.sparsifier.remove(live, each.optimizer)
        assert one.learn() == pytest.approx(other.learn(), rel=1e-4)


def test_labels_may_be_class_probabilities() -> None:
    hard, soft = mlp(label_smoothing=0.1), mlp(label_smoothing=0.1)
    shares = F.one_hot(LABELS, 4).float()
    assert hard.learn() == pytest.approx(soft.learn(shares), rel=1e-6)
    mixed = mlp().learn(0.5 * shares + 0.5 * shares.flip(0))
    both = 0.5 * mlp().learn() + 0.5 * mlp().learn(LABELS.flip(0))
    assert mixed == pytest.approx(both, rel=1e-5)
    assert mlp().learn() != hard.learn()


def test_random_numbers_in_a_step_do_not_depend_on_earlier_draws() -> None:
    losses = []
    for drawn in (0, 5):
        learner = mlp()
        learner.sparsifier.model.insert(2, nn.Dropout(0.5))  # type: ignore[operator]
        torch.rand(drawn)
        losses.append([learner.learn(), learner.learn()])
    assert losses[0] == losses[1]
    assert losses[0][0] != losses[0][1]


def test_the_average_tracks_the_weights_and_obeys_the_mask() -> None:
    learner = Learner()
    average = WeightAverage(learner.sparsifier, decay=0.5)
    names = average.values.keys()
    assert not any(name.endswith(("beta", "mask", "packed")) for name in names)
    assert "stages.0.norm.running_var" in names
    first = learner.weights()
    learner.learn()
    average.update(100)
    now = learner.weights()
    for name, value in average.values.items():
        assert torch.allclose(value, (first[name] + now[name]) / 2, atol=1e-6), name
    learner.sparsifier.remove(1)
    model = learner.sparsifier.model
    with average.applied():
        for name, layer in learner.sparsifier.layers.items():
            weight = model.get_submodule(name).weight
            assert isinstance(weight, Tensor)
            assert not weight[~layer.mask].any() and weight[layer.mask].all()
            dense = f"{name}.parametrizations.weight.original"
            assert torch.equal(model.state_dict()[dense], average.values[dense])
    for name, value in learner.weights().items():
        if name in names:
            assert torch.equal(value, now[name]), name


def test_the_average_is_tested_and_saved(quick: MakeExperiment, tmp_path: Path) -> None:
    training = {"epochs": 2, "batch_size": 500, "ema_decay": 0.9}
    events: list[Event] = []
    watched: list[Sparsifier] = []
    Trainer(
        quick(training=training), tmp_path, emit=events.append,
        watch=lambda sparsifier, _: watched.append(sparsifier),
    ).train()  # fmt: skip
    assert inspect_checkpoint(tmp_path, Pattern(2, 4), skip=["head"]).valid
    kept = load_file(tmp_path / "model.safetensors")
    model = watched[-1].model
    bias = model.get_parameter("head.bias")
    assert not torch.equal(kept["head.bias"], bias)
    stored = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert torch.equal(kept["head.bias"], stored["average"]["head.bias"])
    plain: list[Event] = []
    Trainer(quick(), None, emit=plain.append).train()
    losses = [[e.loss for e in run if isinstance(e, StepDone)] for run in (events, plain)]
    assert losses[0] == losses[1]
    tests = [[e.test_loss for e in run if isinstance(e, EpochDone)] for run in (events, plain)]
    assert tests[0] != tests[1]


def test_a_nonfinite_gradient_changes_no_weight_and_its_layer_is_named() -> None:
    class Overflow(torch.autograd.Function):
        @staticmethod
        def forward(_: Any, values: Tensor) -> Tensor:
            return values.clone()

        @staticmethod
        def backward(_: Any, grad: Tensor) -> Tensor:
            return grad * torch.inf

    class Bad(nn.Module):
        def forward(self, values: Tensor) -> Tensor:
            result: Tensor = Overflow.apply(values)  # type: ignore[no-untyped-call]
            return result

    learner = mlp()
    learner.sparsifier.model.insert(3, Bad())  # type: ignore[operator]
    before = learner.weights()
    with pytest.raises(TrainingError, match=r"The gradient became (inf|nan) in step 1 .*'1'"):
        learner.learn()
    assert all(torch.equal(value, before[name]) for name, value in learner.weights().items())


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("1.parametrizations.weight.original", "first in the weight of layer '1'"),
        ("3.bias", "first in the bias of layer '3'"),
    ],
)
def test_for_a_nonfinite_loss_the_first_nonfinite_layer_is_named(name: str, text: str) -> None:
    learner = mlp()
    with torch.no_grad():
        learner.sparsifier.model.get_parameter(name).fill_(torch.nan)
        learner.sparsifier.model.get_parameter("5.bias").fill_(torch.nan)
    with pytest.raises(TrainingError, match="The loss became nan in step 1") as caught:
        learner.learn()
    assert text in str(caught.value)


def test_the_first_overflow_is_named() -> None:
    learner = mlp()
    with torch.no_grad():
        learner.sparsifier.model.get_parameter("1.bias").fill_(3e38)
        learner.sparsifier.model.get_parameter("3.bias").fill_(3e38)
    with pytest.raises(TrainingError, match="first in the output of layer '3'"):
        learner.learn()
    with pytest.raises(TrainingError, match="first in the images"):
        mlp().learn(batch=images() * torch.inf)


def test_half_precision_skips_a_step_that_overflows() -> None:
    learner = mlp(precision="float16")
    scale = learner.stepper.scaler.get_scale()
    before = learner.weights()
    with torch.no_grad():
        learner.sparsifier.model.get_parameter("5.weight").mul_(200)
    scaled = learner.weights()
    learner.learn()
    assert learner.stepper.scaler.get_scale() < scale
    after = learner.weights()
    assert all(torch.equal(value, after[name]) for name, value in scaled.items())
    assert not torch.equal(before["5.weight"], after["5.weight"])


@pytest.mark.filterwarnings("ignore")  # torch.compile warns about torch's own code
def test_a_compiled_model_obeys_its_masks_and_learns_the_same() -> None:
    compiled, plain = mlp(), mlp()
    # aot_eager runs the traced graphs without code generation, which would take half a minute.
    compiled.sparsifier.model.compile(backend="aot_eager")
    for live in (4, 1, 1):
        for each in (compiled, plain):
            each.sparsifier.remove(live, each.optimizer)
        assert compiled.learn() == pytest.approx(plain.learn(), rel=1e-4)
    for name, layer in compiled.sparsifier.layers.items():
        assert torch.equal(layer.mask, plain.sparsifier.mask(name))
    weights = compiled.sparsifier.finalize().state_dict()
    assert weights.keys() == plain.sparsifier.finalize().state_dict().keys()
