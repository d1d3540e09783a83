"""``lbc allocate``: the table, the experiment that it writes, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbc.cli.main import main
from lbc.config import load_experiment
from lbc.export.trained import load_trained_model
from lbc.models import build_on_meta
from lbc.models.layer_cost import layer_table, model_cost
from lbc.runs.history_reader import Replay
from lbc.sparsity.layer_plan import plan_layers
from lbc.sparsity.pattern import Pattern
from lbc.training.trainer import Trainer
from tests.training.resumption import stop_at

FILE = """
model: {name: resnet18}
pattern: 1:16
layers: {layer4.1.*: 2:8, layer1.0.conv1: dense}
skip: [layer1.1.conv1]
"""


@pytest.mark.parametrize(
    ("rule", "pattern", "budget"),
    [
        ("erk", "1:16", {"macs": 0.5}),
        ("uniform", "1:16", {"weights": 0.3}),
        ("erk", "2:16x2", {"macs": 0.6, "weights": 0.3}),
    ],
)
def test_the_experiment_that_is_written_is_within_its_budget(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rule: str,
    pattern: str,
    budget: dict[str, float],
) -> None:
    (tmp_path / "e.yaml").write_text(FILE.replace("1:16", pattern))
    asked = [part for unit, share in budget.items() for part in (f"--{unit}", str(share))]
    command = ["allocate", str(tmp_path / "e.yaml"), "--image", "3x64x64", "--rule", rule, *asked]
    new = tmp_path / "new.yaml"
    assert main([*command, "--out", str(new)]) == 0
    said = capsys.readouterr().out
    before, after = load_experiment(tmp_path / "e.yaml"), load_experiment(new)
    assert after == before.model_copy(update={"layers": after.layers})
    kept = {name: after.layers[name] for name in before.layers}
    assert kept == before.layers and "layer1.1.conv1" not in after.layers
    model = build_on_meta(after.model, (3, 64, 64), 1000)
    cost = model_cost(model, (3, 64, 64))
    plans = plan_layers(model, after.pattern, after.skip, after.layers, cost.roles)
    table = layer_table(model, plans, cost)
    saved = {"macs": 0.0, "weights": 0.0}
    for row in table.rows:
        if row.plan.pattern:
            saved["macs"] += row.cost.macs * (1 - row.plan.pattern.density)
            saved["weights"] += row.plan.weights * (1 - row.plan.pattern.density)
    total = {"macs": table.macs, "weights": sum(plan.weights for plan in plans)}
    reached = {unit: 1 - saved[unit] / total[unit] for unit in total}
    assert all(share - 0.03 < reached[unit] <= share for unit, share in list(budget.items())[:1])
    assert all(reached[unit] <= share for unit, share in budget.items())
    assert f"{reached['macs']:.2%} of the network's multiply-adds" in said
    assert f"{reached['weights']:.2%} of its weights are left" in said
    free = [row.plan for row in table.rows if row.plan.name in after.layers.keys() - kept.keys()]
    assert len(free) > 10 and all(plan.pattern is None or plan.pattern.m == 16 for plan in free)
    width = Pattern.parse(pattern).width
    assert all(plan.pattern is None or plan.pattern.width == width for plan in free)
    if rule == "uniform":
        assert len({plan.pattern for plan in free}) == 1
    assert main([*command, "--out", str(new)]) == 2
    assert "already exists" in capsys.readouterr().err


def test_a_layer_that_stays_dense_is_written_as_dense(tmp_path: Path) -> None:
    (tmp_path / "e.yaml").write_text("model: {name: convnet, width: 16}\npattern: 2:4\n")
    new = tmp_path / "new.yaml"
    assert main(["allocate", str(tmp_path / "e.yaml"), "--macs", "0.9", "--out", str(new)]) == 0
    assert load_experiment(new).layers == {"stages.1.conv": "dense", "stages.2.conv": Pattern(3, 4)}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "Give a budget: --macs SHARE"),
        (["--macs", "0.5", "--from-run", "run"], "or --from-run RUN"),
        (["--from-run", "nowhere"], "nowhere"),
        (["--macs", "0.01"], "still needs"),
        (["--weights", "1"], "above 0 and below 1"),
        (
            ["--macs", "0.5", "--set", "layers.stages.1.*=2:4", "layers.stages.2.*=2:4"],
            "No layer is left",
        ),
        (["--macs", "0.5", "--set", "pattern=1:7"], "No layer of the model can take 1:7"),
    ],
)
def test_an_impossible_budget_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], reason: str
) -> None:
    (tmp_path / "e.yaml").write_text("model: {name: convnet, width: 16}\n")
    new = tmp_path / "new.yaml"
    assert main(["allocate", str(tmp_path / "e.yaml"), *arguments, "--out", str(new)]) == 2
    captured = capsys.readouterr()
    assert reason in captured.err and not captured.out and not new.exists()


def test_what_a_run_has_found_is_written_for_another(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment, run, new = tmp_path / "e.yaml", tmp_path / "run", tmp_path / "new.yaml"
    experiment.write_text(RUN)
    trainer = Trainer(load_experiment(experiment), run)
    trainer.train()
    command = ["allocate", str(experiment), "--from-run", str(run)]
    assert main([*command, "--out", str(new)]) == 0
    layers = trainer._sparsifier.layers
    found = {name: Pattern(round(4 * layer.density), 4) for name, layer in layers.items()}
    assert load_experiment(new).layers == found and Pattern(1, 4) in found.values()
    left = trainer._sparsifier.conductor.numbers()["multiply-adds"]
    assert f"{left:.2%} of the network's multiply-adds" in capsys.readouterr().out
    (run / "scores.history").unlink()  # the final weights say it too
    assert main(command) == 0
    assert main([*command, "--set", "model.width=32"]) == 2
    assert "give an experiment of the same network" in capsys.readouterr().err


def test_layers_that_a_run_has_left_dense_are_dense_everywhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment, run, new = tmp_path / "e.yaml", tmp_path / "run", tmp_path / "new.yaml"
    experiment.write_text(RUN.replace("macs: 0.4", "macs: 0.9, least_macs: 0.75, dense: true"))
    trainer = Trainer(load_experiment(experiment), run)
    trainer.train()
    layers = trainer._sparsifier.layers
    dense = {name for name, layer in layers.items() if layer.density == 1}
    assert dense and len(dense) < len(layers)
    assert main(["allocate", str(experiment), "--from-run", str(run), "--out", str(new)]) == 0
    found = load_experiment(new).layers
    assert found.keys() == layers.keys()
    assert {name for name, pattern in found.items() if pattern == "dense"} == dense
    left = trainer._sparsifier.conductor.numbers()["multiply-adds"]
    assert f"{left:.2%} of the network's multiply-adds" in capsys.readouterr().out
    loaded = load_trained_model(run)
    assert loaded.decided and loaded.patterns.keys() == layers.keys() - dense
    assert all(bool((loaded.weight(name) != 0).all()) for name in dense)
    assert loaded.dense[min(dense)] == "elsa has decided to keep it dense"
    assert main(["inspect", str(run)]) == 0
    replay = Replay(run)
    assert replay.moments[-1].live == (1,) * len(layers)
    assert replay.layer(min(dense), len(replay.moments) - 1).mask.all()


def test_a_run_that_has_not_decided_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experiment = tmp_path / "e.yaml"
    experiment.write_text(RUN.replace("end: 1", "end: 2"))
    stop_at(10, load_experiment(experiment), tmp_path / "run")
    assert main(["allocate", str(experiment), "--from-run", str(tmp_path / "run")]) == 2
    assert "has not decided what its layers keep" in capsys.readouterr().err


RUN = """
model: {name: mlp, width: 16, depth: 4}
method: {name: elsa, macs: 0.4, generations: 1, population: 4, subnets: 2}
pattern: 2:4
schedule: {end: 1}
training: {epochs: 2, batch_size: 500}
"""
