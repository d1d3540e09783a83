"""Removal during training: when it happens, what is recorded, and how it is cancelled."""

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from lbc.cli import terminal
from lbc.config import Experiment
from lbc.runs.events import EpochDone, Event, Finished, RemovalProgress, StepDone, Untrained
from lbc.runs.history_reader import Replay
from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import Schedule
from lbc.sparsity.sparsification import sparsify
from lbc.sparsity.sparsifier import Sparsifier
from lbc.training import removal
from lbc.training.control import Control
from lbc.training.trainer import Trainer
from tests.training.resumption import assert_same_run, stop_at, stored

MakeExperiment = Callable[..., Experiment]

PATTERN = Pattern(2, 6)
BY_STEP: dict[str, Any] = {
    "model": {"name": "mlp", "width": 48, "depth": 4},
    "pattern": str(PATTERN),
    "training": {"epochs": 3, "batch_size": 500},
    "schedule": {"end": 2, "every": "step"},
}
"""Eight steps per epoch, 15 combinations per block."""


class CancelledError(Exception):
    pass


def searched(form: Any) -> tuple[Sparsifier, torch.optim.Optimizer]:
    """A sparsified model of several layers, after a few steps with momentum."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 24), nn.Tanh(), nn.Linear(24, 16), nn.Linear(16, 4))
    sparsifier = sparsify(model, "2:4", scores=form)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 16)).square().mean().backward()
        optimizer.step()
    return sparsifier, optimizer


def state_of(sparsifier: Sparsifier, optimizer: torch.optim.Optimizer) -> list[Tensor]:
    momenta = [state["momentum_buffer"] for state in optimizer.state.values()]
    return [one.clone() for one in [*sparsifier.model.state_dict().values(), *momenta]]


@pytest.mark.parametrize("form", ["per_weight", "per_combination"])
def test_a_removal_cancelled_at_any_time_changes_nothing(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lbc.sparsity.sparse_layer.CHUNK_CELLS", 60)
    sparsifier, optimizer = searched(form)
    other, other_optimizer = searched(form)
    shares: list[float] = []
    other.remove(3, other_optimizer, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 10
    sparsifier.remove(5, optimizer)
    before = state_of(sparsifier, optimizer)
    for last in {1, 2, len(shares) // 2, len(shares)}:
        calls: list[float] = []

        def cancel(share: float, last: int = last, calls: list[float] = calls) -> None:
            calls.append(share)
            if len(calls) == last:
                raise CancelledError

        with pytest.raises(CancelledError):
            sparsifier.remove(3, optimizer, cancel)
        after = state_of(sparsifier, optimizer)
        assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    sparsifier.remove(3, optimizer)
    for name in sparsifier.layers:
        assert torch.equal(sparsifier.live(name), other.live(name))


def test_removal_is_due_once_the_schedule_is_below_the_live_count() -> None:
    schedule = Schedule(end=4)
    for method, at_two in (("lbc", True), ("asp", False), ("sr-ste", False), ("dense", False)):
        sparsifier = sparsify(nn.Linear(16, 8), "2:4", method)
        assert not sparsifier.due(schedule, 0)
        assert sparsifier.due(schedule, 2) == at_two
        sparsifier.follow(schedule, 2)
        assert not sparsifier.due(schedule, 2)
        assert sparsifier.due(schedule, 4) == (method in ("lbc", "asp"))


def test_removal_by_step_happens_whenever_the_schedule_falls_and_is_recorded(
    quick: MakeExperiment, tmp_path: Path
) -> None:
    experiment = quick(**BY_STEP)
    schedule = experiment.schedule.as_schedule()
    seen: dict[float, int] = {}

    def watch(sparsifier: Sparsifier, epoch: float) -> None:
        seen[epoch] = max(layer.live_count for layer in sparsifier.layers.values())

    events: list[Event] = []
    Trainer(experiment, tmp_path / "run", emit=events.append, watch=watch).train()
    moments = Replay(tmp_path / "run").moments
    # Of two moments at one epoch, the second follows the removal.
    last = {moment.epoch: set(moment.live) for moment in moments}
    assert all(lives == {schedule.live(PATTERN, epoch)} for epoch, lives in last.items())
    steps = [step / 8 for step in range(3 * 8 + 1)]
    lives = [schedule.live(PATTERN, epoch) for epoch in steps]
    falls = {at for at, live, old in zip(steps[1:], lives[1:], lives, strict=False) if live < old}
    assert {moment.epoch for moment in moments if moment.removal} == falls
    assert len(falls - {1, 2}) >= 5
    # Each step was taken with the mask of the previous moment.
    taken = [event.epoch for event in events if isinstance(event, StepDone)]
    assert all(seen[epoch] <= lives[steps.index(epoch) - 1] for epoch in taken)
    ends = [event.live for event in events if isinstance(event, EpochDone)]
    assert [live[0] for live in ends] == [schedule.live(PATTERN, epoch) for epoch in (1, 2, 3)]


@pytest.mark.parametrize("every", ["epoch", "step"])
def test_a_run_stopped_before_a_removal_resumes_to_the_same_end(
    quick: MakeExperiment, tmp_path: Path, every: str
) -> None:
    experiment = quick(**BY_STEP | {"schedule": {"end": 2, "every": every}})
    Trainer(experiment, tmp_path / "expected").train()
    stop_at(3, experiment, tmp_path / "run")
    events = stop_at(8, experiment, tmp_path / "run", resume=True)
    # The removal at the end of the epoch was cancelled, so the epoch is not complete.
    assert not any(isinstance(event, EpochDone) for event in events)
    assert stored(tmp_path / "run")["step"] == 8
    Trainer(experiment, tmp_path / "run", resume=True).train()
    assert_same_run(tmp_path / "run", tmp_path / "expected")


def test_stop_during_a_removal_leaves_the_live_sets_unchanged(
    quick: MakeExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lbc.sparsity.sparse_layer.CHUNK_CELLS", 1500)
    monkeypatch.setattr(removal, "PROGRESS_SECONDS", -1.0)
    experiment = quick(**BY_STEP | {"schedule": {"end": 2}})
    control = Control()
    shares: list[float] = []
    lived: list[dict[str, Tensor]] = []
    last: list[Sparsifier] = []

    def emit(event: Event) -> None:
        if isinstance(event, RemovalProgress):
            lived.append({name: last[-1].live(name) for name in last[-1].layers})
            shares.append(event.share)
            if event.share > 0.5:
                control.stop()

    run = Trainer(experiment, tmp_path / "run", control, emit, lambda at, _: last.append(at))
    assert run.train().status == "stopped"
    assert 0.5 < shares[-1] < 1
    assert all(bool(live.all()) for moment in lived for live in moment.values())
    model = stored(tmp_path / "run")["model"]
    assert {len(bits) for key, bits in model.items() if key.endswith(".packed")} == {1}
    Trainer(experiment, tmp_path / "expected").train()
    Trainer(experiment, tmp_path / "run", resume=True).train()
    assert_same_run(tmp_path / "run", tmp_path / "expected")


def test_a_removal_reports_progress_that_the_terminal_shows(
    quick: MakeExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(removal, "PROGRESS_SECONDS", -1.0)
    experiment = quick(**BY_STEP)
    events: list[Event] = []
    Trainer(experiment, None, emit=events.append).train()
    progress_events = [event for event in events if isinstance(event, RemovalProgress)]
    by_epoch: dict[float, list[float]] = {}
    for event in progress_events:
        by_epoch.setdefault(event.epoch, []).append(event.share)
    assert all(shares == sorted(shares) and shares[-1] == 1 for shares in by_epoch.values())
    console = Console(file=(tmp_path / "out").open("w"), force_terminal=True, width=120)
    with terminal._progress(console) as progress:
        view = terminal._TerminalView(progress)
        view.show(events[0])
        view.show(RemovalProgress(1.0, 0.25))
        assert progress.tasks[0].description == "removing 25%"
        view.show(RemovalProgress(1.0, 1.0))
        assert progress.tasks[0].description == "training"
    console.file.close()
    assert isinstance(events[-1], Finished)


def test_a_layer_that_nothing_trains_is_named_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 24), nn.Linear(24, 16), nn.Linear(16, 4))
    sparsifier = sparsify(model, "2:4")
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model[1:](torch.randn(8, 24)).square().mean().backward()
    optimizer.step()
    events: list[RemovalProgress | Untrained] = []
    for epoch in (1.0, 2.0, 3.0):
        assert removal.remove_combinations(
            sparsifier, Schedule(end=3), epoch, optimizer, events.append, lambda: True
        )
    (named,) = [event for event in events if isinstance(event, Untrained)]
    assert named.message.startswith("No score of layer '0' has ever been updated, so its largest")


IDLE = """
import torch

class Idle(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.used, self.idle = torch.nn.Linear(784, 16), torch.nn.Linear(16, 16)
        self.head = torch.nn.Linear(16, 10)

    def forward(self, images):
        return self.head(self.used(images.flatten(1)))
"""


def test_the_terminal_names_a_layer_that_nothing_trains(
    quick: MakeExperiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "idling.py").write_text(IDLE)
    monkeypatch.syspath_prepend(str(tmp_path))
    experiment = quick(
        model={"import": "idling:Idle"},
        schedule={"end": 2, "every": "step"},
        training={"epochs": 2, "batch_size": 500},
    )
    lines = Console(file=StringIO(), width=300)
    terminal.train_in_terminal(experiment, tmp_path / "run", lines)
    text = lines.file.getvalue()  # type: ignore[attr-defined]
    assert text.count("No score of layer 'idle' has ever been updated") == 1
    assert "layer 'used'" not in text
