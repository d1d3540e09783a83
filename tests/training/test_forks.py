"""A fork with nothing changed reproduces the rest of its parent, to the last bit."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import pytest

from lbc.config import Experiment
from lbc.runs.events import Event, Intervention, StepDone
from lbc.runs.interventions import read_interventions
from lbc.runs.kept_checkpoints import kept_moments
from lbc.runs.run_state import read_state
from lbc.runs.unfinished_run import open_unfinished
from lbc.training.control import Control
from lbc.training.fork import experiment_at, fork_run
from lbc.training.trainer import Trainer
from tests.training.resumption import MakeExperiment, assert_same_run, stored

SMALL = {"epochs": 3, "batch_size": 500}
VARIANTS: dict[str, dict[str, object]] = {
    "sgd": {},
    "by step, averaged": {
        "pattern": "1:4",
        "schedule": {"end": 2, "every": "step"},
        "training": {**SMALL, "ema_decay": 0.9, "keep": {"every": "removal"}},
    },
    "adam": {"optimizer": {"name": "adam", "lr": 1e-3}},
    "sr-ste": {"method": "sr-ste"},
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


@pytest.mark.parametrize("name", ["stopped", "adam", "sr-ste"])
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
