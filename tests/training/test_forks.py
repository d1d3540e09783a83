"""A fork with nothing changed reproduces the rest of its parent, to the last bit."""

from __future__ import annotations

import shutil
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from lbc.config import Experiment, parse_experiment
from lbc.runs.events import Event, Intervention, Steering, StepDone
from lbc.runs.history_format import read_layers
from lbc.runs.history_reader import Replay
from lbc.runs.interventions import read_interventions
from lbc.runs.kept_checkpoints import experiment_at, kept_moments
from lbc.runs.run_state import RunError, read_state
from lbc.runs.unfinished_run import open_unfinished
from lbc.sparsity.methods.s_ste import SSteLayer
from lbc.training.control import Control
from lbc.training.fork import (
    ForkError,
    check_fork,
    describe_fork,
    fork_run,
)
from lbc.training.trainer import Trainer
from tests.training.resumption import MakeExperiment, assert_same_run, equal, stored

SMALL = {"epochs": 3, "batch_size": 500}
VARIANTS: dict[str, dict[str, object]] = {
    "by step, averaged": {
        "pattern": "1:4",
        "schedule": {"end": 2, "every": "step"},
        "training": {**SMALL, "ema_decay": 0.9, "keep": {"every": "removal"}},
    },
    "adam": {"optimizer": {"name": "adam", "lr": 1e-3}},
}
"""Settings of parents: each leaves checkpoints that differ in kind."""


def make(quick: MakeExperiment, **sections: object) -> Experiment:
    return quick(**{"training": SMALL} | sections)


@pytest.fixture(scope="module", params=VARIANTS)
def parent(
    request: pytest.FixtureRequest,
    quick: MakeExperiment,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "parent"
    Trainer(make(quick, **VARIANTS[request.param]), folder).train()
    return folder


def train(fork: Path) -> None:
    Trainer(open_unfinished(fork).experiment, fork, resume=True).train()


def test_unchanged_forks_from_every_checkpoint_end_in_their_parents_bits(
    parent: Path, tmp_path: Path
) -> None:
    before = {file: file.read_bytes() for file in parent.glob("**/*.*")}
    points = kept_moments(parent)
    assert len(points) >= 3
    for point in points:
        begin, changed = describe_fork(parent, point, experiment_at(point))
        assert f"parent after epoch {point.epoch:g} ({point.step} steps)" in begin
        assert changed == "Nothing is changed."
        fork = fork_run(parent, point.epoch, experiment_at(point), tmp_path / f"{point.step}")
        state = read_state(fork)
        assert state.status == "stopped" and state.parent is not None
        assert (state.parent.folder, state.parent.step) == (str(parent), point.step)
        assert stored(fork)["step"] == point.step
        train(fork)
        assert_same_run(fork, parent)
        assert read_state(fork).parent == state.parent
    assert {file: file.read_bytes() for file in parent.glob("**/*.*")} == before


def test_pins_before_the_moment_are_the_fork_s_too(quick: MakeExperiment, tmp_path: Path) -> None:
    control, run = Control(), tmp_path / "parent"

    def emit(event: Event) -> None:
        if isinstance(event, StepDone) and event.step in (3, 8, 12):
            for block in range(event.step, event.step + 8):  # refused where it has been removed
                control.intervene(Intervention("pin", "hidden.0", 1, block))

    Trainer(make(quick, schedule={"end": 3}), run, control, emit).train()
    pinned = [done.step for done in read_interventions(run)]
    assert set(pinned) == {3, 8, 12}
    at = {point.step: point for point in kept_moments(run)}
    fork = fork_run(run, 2, experiment_at(at[16]), tmp_path / "fork")
    train(fork)
    assert_same_run(fork, run)
    assert read_interventions(fork) == read_interventions(run)
    # The checkpoint that is kept of epoch 1 includes the pins at its step.
    fork = fork_run(run, 1, experiment_at(at[8]), tmp_path / "early")
    assert [done.step for done in read_interventions(fork)] == pinned[: pinned.index(12)]
    begun = read_state(fork).parent
    assert begun is not None and begun.interventions == pinned.index(12)


def test_a_fork_of_a_fork_whose_parent_is_gone(quick: MakeExperiment, tmp_path: Path) -> None:
    Trainer(make(quick), tmp_path / "first").train()
    experiment = make(quick)
    second = fork_run(tmp_path / "first", 1, experiment, tmp_path / "second")
    train(second)
    shutil.copytree(tmp_path / "first", tmp_path / "kept")
    shutil.rmtree(tmp_path / "first")
    third = fork_run(second, 2, experiment, tmp_path / "third")
    train(third)
    assert_same_run(third, tmp_path / "kept")
    assert read_state(third).parent.label == "second@2"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ["stopped", "sr-ste"])
def test_a_run_of_0_1_0_has_forks(tmp_path: Path, name: str) -> None:
    with zipfile.ZipFile(Path(__file__).with_name("runs-0.1.0.zip")) as archive:
        archive.extractall(tmp_path)
    (point,) = kept_moments(tmp_path / name)
    fork = fork_run(tmp_path / name, point.epoch, experiment_at(point), tmp_path / "fork")
    train(fork)
    train(tmp_path / name)
    # The fork's has the defaults of settings that 0.1.0 did not know.
    shutil.copy(fork / "experiment.yaml", tmp_path / name)
    assert_same_run(fork, tmp_path / name)


@pytest.fixture(scope="module")
def undecided(quick: MakeExperiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that removes from epoch 2 on."""
    folder = tmp_path_factory.mktemp("undecided") / "parent"
    Trainer(make(quick, schedule={"start": 1, "end": 3}), folder).train()
    return folder


def changed(experiment: Experiment, **sections: object) -> Experiment:
    return parse_experiment(experiment.model_dump(mode="json") | sections)


@pytest.mark.parametrize("method", ["asp", "dense"])
def test_before_the_first_removal_a_fork_becomes_the_run_of_another_method(
    undecided: Path, quick: MakeExperiment, tmp_path: Path, method: str
) -> None:
    experiment = make(quick, schedule={"start": 1, "end": 3}, method=method)
    Trainer(experiment, tmp_path / "expected").train()
    train(fork_run(undecided, 1, experiment, tmp_path / "fork"))
    fork, expected = stored(tmp_path / "fork"), stored(tmp_path / "expected")
    assert equal(fork["model"], expected["model"])
    assert equal(fork["optimizer"], expected["optimizer"])
    model = "model.safetensors"
    assert (tmp_path / "fork" / model).read_bytes() == (tmp_path / "expected" / model).read_bytes()


def test_before_the_first_removal_a_fork_removes_what_a_run_of_a_stricter_pattern_removes(
    undecided: Path, quick: MakeExperiment, tmp_path: Path
) -> None:
    experiment = make(quick, schedule={"start": 1, "end": 3}, pattern="1:8")
    Trainer(experiment, tmp_path / "expected").train()
    train(fork_run(undecided, 1, experiment, tmp_path / "fork"))
    fork, expected = (Replay(tmp_path / run) for run in ("fork", "expected"))
    for layer in fork.layers:
        removed, as_expected = (
            run.layer(layer.name, [at.epoch for at in run.moments].index(2), scores=False)
            for run in (fork, expected)
        )
        assert removed.packed is not None and len(removed.packed) == layer.blocks
        # Where scores are nearly equal, their last bits decide.
        assert np.mean(removed.packed == as_expected.packed) > 0.995


@pytest.mark.parametrize("optimizer", [{"name": "sgd"}, {"name": "adam", "lr": 1e-3}])
def test_a_stricter_pattern_after_removals_brings_nothing_back(
    quick: MakeExperiment, tmp_path: Path, optimizer: dict[str, object]
) -> None:
    experiment = make(quick, optimizer=optimizer, training={**SMALL, "ema_decay": 0.5})
    Trainer(experiment, tmp_path / "parent").train()
    before = stored(tmp_path / "parent")["model"]
    stricter = changed(experiment, layers={"hidden.0": "1:8"}, schedule={"end": 4},
                       training={**SMALL, "epochs": 4, "ema_decay": 0.5})  # fmt: skip
    fork = fork_run(tmp_path / "parent", 3, stricter, tmp_path / "fork")
    train(fork)
    after = stored(fork)["model"]
    for name, density in (("hidden.0", 1 / 8), ("hidden.1", 1 / 2)):
        key = f"{name}.parametrizations.weight.0.mask"
        assert not (after[key] & ~before[key]).any()
        assert after[key].float().mean() == density
    assert [layer.pattern.m for layer in read_layers(fork / "scores.history")] == [8, 4]
    train(fork_run(fork, 4, stricter, tmp_path / "again"))


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"pattern": "3:4"}, "3:4 allows masks that 2:4 does not"),
        ({"pattern": "1:16", "layers": {"hidden.1": "dense"}}, "would be dense in the fork"),
        ({"layers": {"head": "1:4"}}, "Layer 'head' is dense in the parent"),
        ({"pattern": "1:14"}, "Layer 'hidden.1' would be dense in the fork (input width 32 is not"),
        ({"method": "dense"}, "fork before the first removal"),
        ({"optimizer": {"name": "adam"}}, "cannot become each other"),
        ({"training": {**SMALL, "batch_size": 100}}, "count the parent's batches"),
        ({"training": {**SMALL, "ema_decay": 0.9}}, "has averaged no weights"),
        ({"training": {**SMALL, "epochs": 2}, "schedule": {"end": 2}}, "cannot end at epoch 2"),
        ({"model": {"name": "mlp", "width": 64}}, "its weights are those of the parent's network"),
        ({"scores": "per_combination"}, "scores have another form"),
        ({"score_memory_limit": 1}, "above the limit"),
    ],
)
def test_what_cannot_be_taken_over_is_refused(
    undecided: Path, tmp_path: Path, sections: dict[str, object], words: str
) -> None:
    *_, last = kept_moments(undecided)
    experiment = changed(experiment_at(last), **sections)
    with pytest.raises(ForkError) as refused:
        fork_run(undecided, last.epoch, experiment, tmp_path / "fork")
    assert refused.value.reasons == check_fork(undecided, last.epoch, experiment)
    assert words in str(refused.value) and all(one.endswith(".") for one in refused.value.reasons)
    assert not list(tmp_path.iterdir())


def test_other_methods_have_no_scores_for_lbc(quick: MakeExperiment, tmp_path: Path) -> None:
    experiment = make(quick, method="dense")
    Trainer(experiment, tmp_path / "run").train()
    (reason,) = check_fork(tmp_path / "run", 1, changed(experiment, method="lbc", seed=3))
    assert "lbc trains scores from its first step, and dense has none" in reason
    assert not check_fork(tmp_path / "run", 1, changed(experiment, method="sr-ste"))


def test_a_method_without_scores_takes_over_the_weights(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    experiment = make(quick, method="dense")
    Trainer(experiment, tmp_path / "dense").train()
    asp = changed(experiment, method="asp")
    Trainer(asp, tmp_path / "asp").train()
    train(fork_run(tmp_path / "dense", 1, asp, tmp_path / "pruned"))
    assert equal(stored(tmp_path / "pruned")["model"], stored(tmp_path / "asp")["model"])
    stricter = changed(experiment, method="sr-ste", pattern="1:4")
    fork = fork_run(tmp_path / "dense", 1, stricter, tmp_path / "sr-ste")
    dense, sparse = (stored(run)["model"] for run in (tmp_path / "dense", fork))
    before = torch.load(kept_moments(tmp_path / "dense")[0].file, weights_only=True)["model"]
    assert dense.keys() == sparse.keys()
    assert all(equal(before[key], sparse[key]) for key in before if key.endswith("original"))
    train(fork)
    assert read_state(fork).density == 1 / 4


def test_a_method_fixes_at_a_fork_what_it_fixes_at_the_start_of_a_run(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    experiment = make(quick, method="dense")
    Trainer(experiment, tmp_path / "dense").train()

    def forked(method: str, name: str) -> dict[str, torch.Tensor]:
        fork = fork_run(tmp_path / "dense", 1, changed(experiment, method=method), tmp_path / name)
        model: dict[str, torch.Tensor] = stored(fork)["model"]
        return model

    model = forked("s-ste", "s-ste")
    scales = [key for key in model if key.endswith("0.scale")]
    for key in scales:
        weight = model[key.replace("0.scale", "original")]
        assert model[key] == SSteLayer("", weight, experiment.pattern).scale
    assert scales
    assert equal(forked("random", "first"), forked("random", "second"))


def test_a_run_in_training_has_forks(quick: MakeExperiment, tmp_path: Path) -> None:
    run, forks = tmp_path / "run", list[Path]()

    def emit(event: Event) -> None:
        if isinstance(event, StepDone) and event.step in (9, 20):
            point = kept_moments(run)[-1]
            forks.append(
                fork_run(run, point.epoch, experiment_at(point), tmp_path / f"{event.step}")
            )

    Trainer(make(quick), run, emit=emit).train()
    for fork in forks:
        train(fork)
        assert_same_run(fork, run)
    assert len(forks) == 2


def test_settings_of_the_optimiser_replace_the_stored_ones(undecided: Path, tmp_path: Path) -> None:
    first, *_ = kept_moments(undecided)
    settings = {"momentum": 0.5, "weight_decay": 0.01, "lr": 0.2}
    experiment = changed(experiment_at(first), optimizer=settings)
    fork = fork_run(undecided, 1, experiment, tmp_path / "fork")
    train(fork)
    decayed, plain = stored(fork)["optimizer"]["param_groups"]
    assert (decayed["weight_decay"], decayed["momentum"], plain["weight_decay"]) == (0.01, 0.5, 0)


def test_a_checkpoint_that_is_gone_or_damaged_is_named(undecided: Path, tmp_path: Path) -> None:
    run = shutil.copytree(undecided, tmp_path / "run")
    first, second, _ = kept_moments(run)
    experiment = experiment_at(first)
    whole = second.file.read_bytes()
    middle = len(whole) // 2
    flipped = bytes([whole[middle] ^ 1])
    second.file.write_bytes(whole[:middle] + flipped + whole[middle + 1 :])
    with pytest.raises(ForkError, match=r"is damaged: its part .* differs from its checksum"):
        fork_run(run, 2, experiment, tmp_path / "fork")
    second.file.write_bytes(whole[:5000])
    (reason,) = check_fork(run, 2, experiment)
    assert "is truncated" in reason
    torch.save({"state_dict": {}}, second.file)
    (reason,) = check_fork(run, 2, experiment)
    assert "was not written by this program" in reason
    assert not (tmp_path / "fork").exists()
    (run / "checkpoint.previous.pt").unlink()
    first.file.unlink()
    (reason,) = check_fork(run, 1, experiment)
    assert reason == f"The run {run} holds no checkpoint after epoch 1: choose 2, 3."
    with pytest.raises(RunError, match="has been deleted meanwhile"):
        experiment_at(first)
    shutil.rmtree(run)
    (reason,) = check_fork(run, 1, experiment)
    assert reason == f"{run} does not exist: name the folder of a run."


def test_what_is_missing_from_a_parent_is_named(undecided: Path, tmp_path: Path) -> None:
    run = shutil.copytree(undecided, tmp_path / "run")
    experiment = experiment_at(kept_moments(run)[0])
    rows = (run / "steps.records").read_bytes()
    (run / "steps.records").write_bytes(rows[:200])
    with pytest.raises(ForkError, match=r"run.steps.records holds \d rows, but 8 are needed"):
        fork_run(run, 1, experiment, tmp_path / "fork")
    (run / "steps.records").unlink()
    with pytest.raises(ForkError, match=r"The run .*run has lost its steps.records"):
        fork_run(run, 1, experiment, tmp_path / "fork")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_full_disk_leaves_nothing_of_a_fork(undecided: Path, tmp_path: Path) -> None:
    import resource

    experiment = experiment_at(kept_moments(undecided)[0])
    free = resource.getrlimit(resource.RLIMIT_FSIZE)
    for size in (0, 300, 20_000, 150_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, free[1]))
        try:
            with pytest.raises(ForkError, match="could not be written"):
                fork_run(undecided, 1, experiment, tmp_path / "fork")
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, free)
        assert not list(tmp_path.iterdir())
    train(fork_run(undecided, 1, experiment, tmp_path / "fork"))


def test_a_steered_run_has_forks(quick: MakeExperiment, tmp_path: Path) -> None:
    control, run = Control(), tmp_path / "parent"
    changes = {
        5: Steering((("optimizer.lr", 0.05),)),
        10: Steering((("optimizer.weight_decay", 0.01), ("schedule.end", 3.0))),
        20: Steering((("training.epochs", 4),)),
    }

    def emit(event: Event) -> None:
        if isinstance(event, StepDone) and event.step in changes:
            control.intervene(changes[event.step])

    Trainer(make(quick), run, control, emit).train()
    at = {point.step: point for point in kept_moments(run)}
    assert [experiment_at(at[step]).optimizer.lr for step in (8, 16, 24, 32)] == [0.05] * 4
    assert [experiment_at(at[step]).schedule.end for step in (8, 16)] == [2, 3]
    third = fork_run(run, 3, experiment_at(at[24]), tmp_path / "third")
    train(third)
    shutil.copy(run / "experiment.yaml", third)  # the fork's has what was steered before it
    assert_same_run(third, run)
    second = fork_run(run, 2, experiment_at(at[16]), tmp_path / "second")
    train(second)  # without what was steered later
    assert len(read_interventions(second)) == 2
    assert read_state(second).epoch == 3
