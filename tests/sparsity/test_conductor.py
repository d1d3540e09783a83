"""A method takes part in every step of a run, and the documentation's example is one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lbc.config import Experiment, dump_experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.runs.records import read_records
from lbc.sparsity import method_options, methods
from lbc.sparsity.compliance import check
from lbc.sparsity.method_names import method_names
from lbc.sparsity.sparsification import sparsify
from lbc.training.checkpoint import find
from lbc.training.ranks import SINGLE_PROCESS
from lbc.training.trainer import Trainer
from tests.docs.pages import blocks
from tests.sparsity.methods.networks import assert_resumes_in_mid_schedule

RECORDING = """
from lbc.sparsity.conductor import Conductor
from lbc.sparsity.magnitude_layer import RecomputedLayer

SEEN = []

class Layer(RecomputedLayer):
    def forward(self, weight):
        if weight.requires_grad and self.training:
            SEEN.append("forward")
        return weight * self.recomputed(weight)

class Recorder(Conductor):
    def __init__(self, run):
        self.run, self.counted = run, 0
        SEEN.append([*run.layers] == [*run.modules] == [*run.weights])
        self.calibrated = sum(len(images) for images in run.batches(70))
        run.optimizer.param_groups[1]["lr_scale"] = 0.5

    def before_step(self, step):
        self.counted += 1
        SEEN.append(("before_step", step))

    def penalty(self):
        SEEN.append("penalty")
        return 0.01 * sum(weight.square().sum() for weight in self.run.weights.values())

    def before_update(self, step):
        assert all(weight.grad is not None for weight in self.run.weights.values())
        SEEN.append(("before_update", step))

    def after_update(self, step):
        SEEN.append(("after_update", step))

    def decide(self):
        SEEN.append("decide")

    def state(self):
        import torch
        return {"counted": torch.tensor(self.counted)}

    def load(self, state):
        self.counted = int(state["counted"])

    def close(self):
        SEEN.append("close")

def attach(name, weight, pattern, form):
    return Layer(name, weight, pattern)

conduct = Recorder
"""


def extend(package: object, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = [*package.__path__, str(folder)]  # type: ignore[attr-defined]
    spec = package.__spec__  # type: ignore[attr-defined]
    monkeypatch.setattr(spec, "submodule_search_locations", folders)
    monkeypatch.setattr(package, "__path__", folders)


@pytest.fixture
def fade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The documentation's examples, in folders of their own."""
    examples = blocks("docs/extending/method.md", "python")
    for package in (methods, method_options):
        folder = tmp_path / package.__name__
        folder.mkdir()
        for block in examples:
            if package.__name__.replace(".", "/") == str(Path(block.file).parent):
                (folder / Path(block.file).name).write_text(block.text, encoding="utf-8")
        extend(package, folder, monkeypatch)


def experiment(method: object, **training: object) -> Experiment:
    return parse_experiment({
        "method": method,
        "pattern": "1:4",
        "model": {"name": "mlp", "width": 16, "depth": 3},
        "training": {"epochs": 3, "batch_size": 500, **training},
        "schedule": {"end": 2},
        "optimizer": {"lr": 0.05},
    })  # fmt: skip


def test_the_example_with_a_mask_of_its_own_resumes_and_counts_changes(
    fade: None, tmp_path: Path
) -> None:
    method = {"name": "weight-gradient", "steps_between": 2, "fixed_at": 1.5}
    sparsifier = assert_resumes_in_mid_schedule(method, "sgd", tmp_path)
    assert sparsifier.density() == 0.5
    changed = [
        read_records(tmp_path / run / "method.records")["weights changed"].tolist()
        for run in ("run", "expected")
    ]
    assert changed[0] == changed[1] and len(changed[0]) == 2 and changed[0][0] > 0
    said = "Training ends at epoch 3, before the mask is fixed: lower it."
    with pytest.raises(ExperimentError, match=re.escape(f"method.fixed_at: {said}")):
        experiment({"name": "weight-gradient", "fixed_at": 4})


def test_the_example_that_prunes_at_once_keeps_the_spread_of_its_inputs(fade: None) -> None:
    assert "input-spread" in method_options.one_shot_methods()
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = torch.tensor([[1.0, 2.0, -3.0, 4.0]])
    sparsifier = sparsify(layer, "2:4", "input-spread", overrides={"": "2:4"})
    images = torch.randn(256, 4, generator=torch.Generator().manual_seed(0)) / layer.weight.detach()
    images[:, :2] *= torch.tensor([3.0, 2.0])
    conductor = sparsifier.conduct(
        torch.optim.SGD(layer.parameters(), lr=0.1), 1, 1, batches=lambda _: iter([images])
    )
    conductor.decide()
    assert sparsifier.mask("").tolist() == [[True, True, False, False]]


def test_the_example_of_the_documentation_trains_under_its_pattern(
    fade: None, tmp_path: Path
) -> None:
    assert "fade" in method_names()
    used = experiment({"name": "fade", "fade_from": 1})
    assert "fade_from: 1" in dump_experiment(used)
    assert dump_experiment(parse_experiment({"method": "asp"})).count("method: asp") == 1
    trainer = Trainer(used, tmp_path / "run")
    finished = trainer.train()
    assert finished.density == 0.25
    weights = load_file(tmp_path / "run" / "model.safetensors")
    for name in trainer._sparsifier.layers:
        assert check(weights[f"{name}.weight"], used.pattern).valid
    for wrong, said in (
        ({"name": "fade", "begin": 1}, "fade has no such option; its options are fade_from."),
        ({"name": "fade", "fade_form": 1}, "fade has no such option; did you mean 'fade_from'?"),
        ({"name": "fade", "fade_from": -1}, "Must be at least 0, not -1."),
        ({"name": "fade", "fade_from": "soon"}, "Must be a number, not 'soon'."),
        ({"name": "fade", "fade_from": 2}, "Weights begin to fade after schedule.end: lower it."),
        ({"name": "asp", "start": 1}, "asp has no such option; it has none."),
        (["fade"], "is not a method"),
    ):
        with pytest.raises(ExperimentError, match=re.escape(said)):
            experiment(wrong)


def test_a_setting_gives_an_option_to_a_method_that_is_named_alone(fade: None) -> None:
    given = parse_experiment({"method": "fade"}, settings=["method.fade_from=2"])
    assert given.method.model_dump() == {"name": "fade", "fade_from": 2}
    other = parse_experiment({"method": {"name": "fade", "fade_from": 2}}, settings=["method=lbc"])
    assert other.method.model_dump() == {"name": "lbc"}


@pytest.fixture
def recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods" / "recording.py").write_text(RECORDING, encoding="utf-8")
    extend(methods, tmp_path / "methods", monkeypatch)
    seen: list[object] = methods.load_method("recording").SEEN  # type: ignore[attr-defined]
    seen.clear()
    return seen


def test_the_moments_of_a_step_come_in_order(recording: list[object], tmp_path: Path) -> None:
    trainer = Trainer(experiment("recording", accumulate=2, epochs=2), tmp_path / "run")
    trainer.train()
    layers = len(trainer._sparsifier.layers)
    part = [*["forward"] * layers, "penalty"]
    steps = trainer._prepared.steps
    expected: list[object] = [True]
    for step in range(1, steps + 1):
        expected += [("before_step", step), *part, *part]
        expected += [("before_update", step), ("after_update", step)]
    at = recording.index("decide")
    during = recording[recording.index(True) :]  # the network was run before, to count its work
    assert [one for one in during if one not in ("decide", "close")] == expected
    assert recording.count("decide") == 1 and recording[at - 1] == ("after_update", steps)
    conductor = trainer._sparsifier.conductor
    assert conductor.calibrated == 70  # type: ignore[attr-defined]
    weights, others = trainer._optimizer.param_groups
    assert others["lr"] == weights["lr"] / 2


def test_a_conductors_state_is_in_the_checkpoint(recording: list[object], tmp_path: Path) -> None:
    used = experiment("recording")
    trainer = Trainer(used, tmp_path / "run")
    trainer.train()
    again = Trainer(used, tmp_path / "run", resume=True)
    again.train()
    conductor = again._sparsifier.conductor
    assert conductor.counted == trainer._prepared.steps  # type: ignore[attr-defined]
    assert again._sparsifier.decided and recording.count("decide") == 1
    _, found = find(tmp_path / "run", used, SINGLE_PROCESS)
    assert found is not None
    assert found.checkpoint.method["decided"] is True
    assert found.checkpoint.method["state"].keys() == {"counted"}


def test_a_penalty_pulls_the_weights(recording: list[object], tmp_path: Path) -> None:
    pulled, free = Trainer(experiment("recording"), None), Trainer(experiment("sr-ste"), None)
    sizes = []
    for trainer in (pulled, free):
        trainer.train()
        sparsifier = trainer._sparsifier
        weights = [sparsifier.dense_weight(name).detach() for name in sparsifier.layers]
        sizes.append(sum(float(weight.square().sum()) for weight in weights))
    assert sizes[0] < 0.9 * sizes[1]
