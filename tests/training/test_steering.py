"""Settings changed during a run: applied between steps, logged, repeated by a resume, refused."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

if sys.platform == "win32":
    pytest.skip("needs fork and kill", allow_module_level=True)

from lbc.config import Experiment, load_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.events import Event, Intervened, InterventionRefused, Settings, Steering, StepDone
from lbc.runs.history_reader import Replay
from lbc.runs.interventions import FILE, read_interventions
from lbc.runs.opened_run import open_run
from lbc.runs.records import read_records
from lbc.runs.run_state import read_state
from lbc.runs.unfinished_run import open_unfinished
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from tests.faults.experiment import small_experiment
from tests.faults.kills import Killer
from tests.training.resumption import assert_same_run, stored

CHECKPOINTS = ("checkpoint.pt", "checkpoint.previous.pt")

CHANGES: dict[int, Settings] = {
    1: (("optimizer.lr", 0.05), ("optimizer.weight_decay", 0.01)),
    4: (("training.epochs", 4), ("schedule.end", 3.5)),
    9: (("training.epochs", 5),),  # in the epoch that was the last one
}
"""What is asked for after each step, of the twelve that the run then takes more than six."""


def steering_trainer(
    experiment: Experiment,
    run: Path,
    changes: dict[int, Settings] = CHANGES,
    on_event: Callable[[Event], None] = lambda event: None,
    resume: bool = False,
    step: int = 0,
) -> Trainer:
    """A trainer that is asked for changes after their steps; it begins after ``step`` steps."""
    control = Control()

    def emit(event: Event) -> None:
        if isinstance(event, StepDone) and event.step in changes:
            control.intervene(Steering(changes[event.step]))
        on_event(event)

    if step in changes:
        control.intervene(Steering(changes[step]))
    return Trainer(experiment, run, control, emit, resume=resume)


def test_changes_take_effect_and_are_repeated_by_a_resume(tmp_path: Path) -> None:
    experiment, run, copies = small_experiment(tmp_path), tmp_path / "run", tmp_path / "copies"
    events = list[Event]()

    def watch(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepDone):
            shutil.copytree(run, copies / str(event.step))

    steering_trainer(experiment, run, on_event=watch).train()
    done = [event for event in events if isinstance(event, Intervened)]
    assert [one.step for one in done] == [1, 4, 9]
    assert read_interventions(run) == tuple(done)
    first, second, _ = (one.intervention for one in done)
    assert first.described == (
        "The learning rate was changed from 0.1 to 0.05 and the weight decay from 0.0001 to 0.01"
    )
    assert isinstance(second, Steering) and second.before == (
        ("training.epochs", 2), ("schedule.end", 2),
    )  # fmt: skip
    rates = read_records(run / "steps.records")["lr"].tolist()
    assert len(rates) == 15 and rates[0] == 0.1 and rates[1] == pytest.approx(0.0466506, 1e-5)
    assert stored(run)["optimizer"]["param_groups"][0]["weight_decay"] == 0.01
    moments = Replay(run).moments
    assert [moments[one.moment].interventions for one in done] == [
        (one.intervention,) for one in done
    ]
    ends = [moment.epoch for moment in moments if max(moment.live) == 1]
    assert 3.5 < ends[0] <= 4
    for step in (1, 3, 4, 5, 9, 13):
        copy = copies / str(step)
        assert open_unfinished(copy).experiment == effective_experiment(copy)
        base = load_experiment(copy / "experiment.yaml")
        assert base == experiment
        given = base if step % 2 else effective_experiment(copy)
        left = {at: CHANGES[at] for at in CHANGES if at >= step}  # asked again: already so
        steering_trainer(given, copy, left, resume=True).train()
        assert_same_run(copy, run)
        assert (copy / FILE).read_bytes() == (run / FILE).read_bytes()


def test_a_change_survives_a_kill_between_log_moment_and_checkpoint(tmp_path: Path) -> None:
    experiment, expected = small_experiment(tmp_path), tmp_path / "expected"
    steering_trainer(experiment, expected).train()
    repeated = 0
    for operation in (17, 33, 37, 45, 53, 57):
        run = tmp_path / f"killed-{operation}"

        assert os.WIFSIGNALED(killed_after_step_4(operation, experiment, run))
        newest = next(run / name for name in CHECKPOINTS if (run / name).exists())
        state = torch.load(newest, weights_only=True)
        logged = {one.step for one in read_interventions(run)}
        repeated += len(logged) > state["position"]["interventions"]
        left = {at: one for at, one in CHANGES.items() if at not in logged}
        steering_trainer(experiment, run, left, resume=True, step=state["step"]).train()
        assert_same_run(run, expected)
    assert repeated >= 2  # killed between the log and the checkpoint


def killed_after_step_4(operation: int, experiment: Experiment, run: Path) -> int:
    """Train in a process that is killed at a file operation after step 4; its wait status."""

    def kill(event: Event) -> None:
        if isinstance(event, StepDone) and event.step == 4:
            sys.setprofile(Killer(operation))

    process = os.fork()
    if not process:
        try:
            steering_trainer(experiment, run, on_event=kill).train()
            os._exit(0)
        finally:
            os._exit(1)  # after an error too: the rest of the tests is the parent's
    return os.waitpid(process, 0)[1]


def test_every_reader_sees_the_experiment_as_it_is_now(tmp_path: Path) -> None:
    experiment, run = small_experiment(tmp_path), tmp_path / "run"
    steering_trainer(experiment, run, {0: (("optimizer.lr", 0.02), ("training.epochs", 3))}).train()
    assert load_experiment(run / "experiment.yaml") == experiment
    now = effective_experiment(run)
    assert (now.optimizer.lr, now.training.epochs) == (0.02, 3)
    assert open_run(run).experiment == now
    assert effective_experiment(run, 0) == experiment
    assert [moment.epoch for moment in Replay(run).moments][:2] == [0, 0]
    (run / FILE).write_bytes(
        (run / FILE).read_bytes().replace(b'"training.epochs", 3', b'"seed", 3')
    )
    with pytest.raises(ExperimentError, match=r"interventions.jsonl: seed: It cannot change"):
        effective_experiment(run)


@pytest.mark.parametrize(
    ("sections", "settings", "reason"),
    [
        ({}, (("pattern", 3),), "pattern cannot change during a run"),
        ({}, (("optimizer.lr", 0.1),), "the learning rate is 0.1 already"),
        ({}, (("optimizer.lr", -1.0),), "optimizer.lr: "),
        ({}, (("optimizer.lr", float("nan")),), "optimizer.lr: "),
        ({}, (("training.epochs", 1),), "lower schedule.end to 1 or raise training.epochs"),
        (
            {},
            (("training.epochs", 1), ("schedule.end", 1.0)),
            "is in epoch 2 and cannot end",
        ),
        ({}, (("training.epochs", 2.5),), "training.epochs: "),
        ({}, (("schedule.end", 1.2),), "at epoch 1.33 and cannot remove combinations before"),
        ({"method": "dense"}, (("schedule.end", 1.8),), "no effect on the method dense"),
        ({"method": "sr-ste"}, (("schedule.end", 1.8),), "no effect on the method sr-ste"),
        ({"schedule": {"end": 1}}, (("schedule.end", 1.8),), "every block is decided"),
    ],
)
def test_what_is_impossible_is_refused_and_changes_nothing(
    tmp_path: Path, sections: dict[str, object], settings: Settings, reason: str
) -> None:
    experiment = small_experiment(tmp_path)
    experiment = experiment.model_validate({**dict(experiment), **_sections(experiment, sections)})
    refused = list[InterventionRefused]()
    steering_trainer(
        experiment, tmp_path / "run", {4: settings},
        lambda event: refused.append(event) if isinstance(event, InterventionRefused) else None,
    ).train()  # fmt: skip
    (one,) = refused
    assert reason in one.message and "\n" not in one.message and one.message.endswith(".")
    assert not (tmp_path / "run" / FILE).exists()
    assert read_state(tmp_path / "run").epoch == 2


def _sections(experiment: Experiment, sections: dict[str, object]) -> dict[str, object]:
    return {
        name: {**getattr(experiment, name).model_dump(), **value}
        if isinstance(value, dict)
        else value
        for name, value in sections.items()
    }
