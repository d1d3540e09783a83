"""Training in a terminal: a progress bar, one line per epoch.

Ctrl-C or SIGTERM stops and saves the run.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from lbc.config import Experiment, dump_experiment, parse_experiment
from lbc.config.strict_yaml import parse_yaml
from lbc.files.printable import counted
from lbc.following.remote_control import RemoteControl
from lbc.following.trainer_file import PROGRAM_VARIABLE
from lbc.runs.events import (
    CheckpointNotKept,
    Commanded,
    EpochDone,
    Event,
    Finished,
    Intervened,
    InterventionRefused,
    Prepared,
    RemovalProgress,
    Resumed,
    StepDone,
    Untrained,
)
from lbc.training.control import Control
from lbc.training.ranks import process_group, ranks_from_environment
from lbc.training.trainer import Trainer


def train_in_terminal(
    experiment: Experiment,
    folder: Path,
    console: Console,
    resume: bool = False,
    program: str = "lbc train",
) -> Finished:
    """Train until the end or Ctrl-C, with a progress bar; ``resume`` continues ``folder``'s run.

    In distributed training, rank 0 sends the job to the other ranks. Other processes see that
    ``program`` trains the run, and may command it. Raises TrainingError.
    """
    control = Control()
    with _progress(console) as progress, _stop_on_interrupt(control):
        view = _TerminalView(progress)
        with process_group(ranks_from_environment()) as ranks:
            job = {"experiment": dump_experiment(experiment), "resume": resume}
            ranks.broadcast_bytes(json.dumps(job).encode())
            program = os.environ.get(PROGRAM_VARIABLE, program)
            remote = RemoteControl(control, program, view.show)
            trainer = Trainer(
                experiment, folder, control, remote.emit, remote.watch, resume=resume, ranks=ranks
            )
            try:
                return trainer.train()
            finally:
                remote.close()


def train_as_other_rank() -> Finished:
    """Train as a rank other than 0, without output. Raises TrainingError."""
    control = Control()
    with _stop_on_interrupt(control), process_group(ranks_from_environment()) as ranks:
        job = json.loads(ranks.broadcast_bytes(None) or b"")
        document, _ = parse_yaml(job["experiment"], "experiment")
        assert isinstance(document, dict)
        experiment = parse_experiment(document)
        return Trainer(experiment, None, control, resume=job["resume"], ranks=ranks).train()


def summarize(finished: Finished) -> str:
    """Describe the result of a run in one sentence."""
    accuracy = "not evaluated" if finished.accuracy is None else f"{finished.accuracy:.2%} accuracy"
    return (
        f"{finished.status.capitalize()} after {finished.seconds:.0f} s: {accuracy}, "
        f"{finished.density:.1%} of the sparse layers' weights kept."
    )


class _TerminalView:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("preparing", total=None)
        self._steps_per_epoch = 0

    def show(self, event: Event) -> None:
        match event:
            case Prepared():
                self._steps_per_epoch = event.steps_per_epoch
                self._progress.update(self._task, total=event.steps, description="training")
                names = ", ".join(f"{layer.name} {layer.pattern}" for layer in event.layers)
                self._progress.console.print(f"Sparse layers: {names}")
                for name, reason in event.skipped:
                    self._progress.console.print(f"Dense: {name} ({reason})")
                for note in event.notes:
                    self._say(note)
            case Resumed():
                step = event.steps[-1].step if event.steps else 0
                for line in filter(None, (event.warning, f"Resuming after step {step:,}")):
                    self._progress.console.print(line)
                self._progress.update(self._task, completed=step)
            case StepDone():
                self._progress.update(self._task, completed=event.step)
            case RemovalProgress():
                removing = f"removing {event.share:.0%}" if event.share < 1 else "training"
                self._progress.update(self._task, description=removing)
            case EpochDone():
                self._progress.console.print(
                    f"epoch {event.epoch:3d}   loss {event.train_loss:.4f}   "
                    f"accuracy {event.accuracy:.2%}   live {max(event.live):4d}   "
                    f"density {event.density:.1%}",
                )
            case Intervened():
                self._say(f"{event.intervention.described} after {counted(event.step, 'step')}.")
                if epochs := event.epochs:
                    self._progress.update(self._task, total=epochs * self._steps_per_epoch)
            case Commanded():
                self._say(event.described)
                now = {"run": "training", "stop": "stopping"}.get(event.command, "paused")
                self._progress.update(self._task, description=now)
            case Untrained() | InterventionRefused() | CheckpointNotKept():
                self._say(event.message)
            case _:
                pass

    def _say(self, sentence: str) -> None:
        self._progress.console.print(sentence, highlight=False, markup=False)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("steps"),
        TimeRemainingColumn(),
        console=console,
        disable=False,
    )


@contextmanager
def _stop_on_interrupt(control: Control) -> Iterator[None]:
    def stop(_signum: int, _frame: FrameType | None) -> None:
        control.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
