"""Forks: new runs that continue a run from one of its checkpoints with other settings.

A fork is a folder of its own. It holds the records of its parent up to the checkpoint, and a
checkpoint of its own, from which it is trained by an ordinary resume. With nothing changed it
reproduces the rest of its parent, to the last bit on the CPU.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn

from lbc.config import Experiment, Optimizer, dump_experiment
from lbc.files.os_errors import explain
from lbc.files.small_file import read_regular
from lbc.runs.folder import TEACHER, Position, RunFolder
from lbc.runs.history_format import read_layers
from lbc.runs.interventions import copy_interventions
from lbc.runs.kept_checkpoints import ForkPoint, content_at, deleted, experiment_at, moment_at
from lbc.runs.method_numbers import FILE as NUMBERS
from lbc.runs.own_runs import may_import, remember_own
from lbc.runs.run_state import FILE as STATE
from lbc.runs.run_state import Parent, RunError, RunState
from lbc.training.checkpoint import Checkpoint, parse_stored_experiment, read_checkpoint
from lbc.training.failures import TrainingError
from lbc.training.fork_changes import describe_changes, find_obstacles, is_structural
from lbc.training.fork_state import restructured
from lbc.training.optimizer import build_optimizer
from lbc.training.teacher_copy import TeacherCopy, inherit_copy

HISTORY = "scores.history"
RECORDS = ("steps.records", "epochs.records")


class ForkError(RunError):
    """A fork is impossible; ``reasons`` are all of them, a sentence each."""

    def __init__(self, *reasons: str) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = reasons


def check_fork(parent_folder: Path, epoch: float, experiment: Experiment) -> tuple[str, ...]:
    """Why no fork of a run can begin after ``epoch`` epochs with ``experiment``; empty if it can.

    ``experiment`` is the parent's with changes. No tensor is loaded, and no code of the user is
    run: of a network that is the user's own code, ``fork_run`` alone finds which layers a stricter
    N:M does not fit.
    """
    try:
        point = moment_at(parent_folder, epoch)
        layers = read_layers(parent_folder / HISTORY)
        old = experiment_at(point)
        return tuple(find_obstacles(content_at(point), old, experiment, layers))
    except ForkError as error:
        return error.reasons
    except OSError as error:
        return (explain(error, f"The run {parent_folder} cannot be read"),)
    except ValueError as error:
        return (str(error),)


def describe_fork(parent_folder: Path, point: ForkPoint, experiment: Experiment) -> tuple[str, ...]:
    """What a fork begins with, what it changes, and what its schedule does first, as sentences.

    Raises ForkError if the checkpoint cannot be read, and ValueError if the history cannot.
    """
    moment = f"epoch {point.epoch:g} ({point.step:,} steps)"
    begin = f"The fork continues {parent_folder.name} after {moment}."
    layers = read_layers(parent_folder / HISTORY)
    return begin, *describe_changes(experiment_at(point), experiment, point.epoch, layers)


def fork_run(
    parent_folder: Path,
    epoch: float,
    experiment: Experiment,
    folder: Path,
    allow_import: bool = False,
) -> Path:
    """Make ``folder`` a run that continues another from its moment after ``epoch`` epochs.

    ``experiment`` is the parent's with changes; ``folder`` is missing or empty. Returns
    ``folder``, in which training is then resumed. Raises ForkError with all reasons why it is
    impossible; nothing has been written then. The parent is only read, and may be in training.

    Another method or N:M needs the network: where that is the user's own code, it is run only
    with ``allow_import``, or if this user started the parent here.
    """
    if reasons := check_fork(parent_folder, epoch, experiment):
        raise ForkError(*reasons)
    point = moment_at(parent_folder, epoch)
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        checkpoint = _read(point)
        old = parse_stored_experiment(checkpoint, point.file)
        temporary.mkdir(parents=True)
        own = may_import(parent_folder, old.model)
        _write(
                temporary, folder, parent_folder, checkpoint, old, experiment, point,
                own or allow_import,
            )  # fmt: skip
        if folder.exists():
            folder.rmdir()
        temporary.rename(folder)
        if own:
            remember_own(folder, experiment.model)
    except OSError as error:
        raise ForkError(explain(error, f"The fork {folder} could not be written")) from error
    except ForkError:
        raise
    except (TrainingError, ValueError) as error:  # records are read from their copies
        reason = str(error).replace(str(temporary), str(parent_folder))
        raise ForkError(reason) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _read(point: ForkPoint) -> Checkpoint:
    try:
        data = read_regular(point.file)
    except FileNotFoundError as error:
        raise deleted(point) from error
    checkpoint = read_checkpoint(data, point.file)
    if checkpoint.step != point.step:
        raise ForkError(f"{point.file} was replaced meanwhile: fork again.")
    return checkpoint


def _write(
    folder: Path,
    target: Path,
    parent: Path,
    checkpoint: Checkpoint,
    old: Experiment,
    experiment: Experiment,
    point: ForkPoint,
    allow_import: bool,
) -> None:
    """Write everything that the run of a fork begins with; ``folder`` becomes ``target``."""
    state, position = checkpoint.model_dump(exclude={"position"}), checkpoint.position
    state["experiment"] = dump_experiment(experiment)
    if not experiment.training.ema_decay:
        state["average"] = {}
    layers = read_layers(parent / HISTORY)
    if is_structural(old, experiment):
        changed, new_layers = restructured(checkpoint, old, experiment, point.file, allow_import)
        state |= changed
        if old.method.name != experiment.method.name:
            state["method"] = {}
        if new_layers != layers:
            # Winners and live sets of another N:M cannot be in one history.
            layers, position = new_layers, Position(position.steps, position.epochs)
    else:
        state["optimizer"] = _with_settings(checkpoint.optimizer, experiment.optimizer)
    numbers = [NUMBERS] if old.method.name == experiment.method.name else []
    for name in filter(lambda name: (parent / name).is_file(), numbers):
        shutil.copyfile(parent / name, folder / name)
    for name in [*RECORDS, *([HISTORY] if position.moments else [])]:
        if not (parent / name).is_file():
            raise ForkError(f"The run {parent} has lost its {name}: restore it, or fork another.")
        shutil.copyfile(parent / name, folder / name)
    copy_interventions(parent, folder, position.interventions)
    begun = Parent(
        str(parent.resolve()), point.epoch, point.step, position.moments, position.interventions
    )
    images = checkpoint.in_shape, checkpoint.classes
    teacher = inherit_copy(parent, old, experiment, *images, target, allow_import)
    _write_description(folder, experiment, begun, teacher)
    run = RunFolder(folder, experiment, layers, position)
    try:
        run.write_checkpoint(state)
        last = checkpoint.last
        run.write_state(
            RunState(
                "stopped",
                checkpoint.epoch,
                last.accuracy if last else None,
                last.density if last else 1.0,
                round(checkpoint.seconds, 3),
            )
        )
    finally:
        run.close()


def _write_description(
    folder: Path, experiment: Experiment, begun: Parent, teacher: TeacherCopy | None
) -> None:
    """Write the experiment, its teacher, and what ``RunFolder`` reads of ``run.json``."""
    head = {
        "status": "stopped",
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "parent": asdict(begun),
        "teacher_sha256": teacher.sha256 if teacher else "",
    }
    if teacher:
        (folder / TEACHER).write_bytes(teacher.as_bytes())
    (folder / STATE).write_text(json.dumps(head))
    (folder / "experiment.yaml").write_text(dump_experiment(experiment), encoding="utf-8")


def _with_settings(stored: Mapping[str, Any], settings: Optimizer) -> dict[str, Any]:
    """The state of an optimiser with other settings of the same kind of optimiser."""
    decayed, plain = build_optimizer(nn.Linear(1, 1), settings).state_dict()["param_groups"]
    groups = [
        {**old, **new, "params": old["params"], "lr": old["lr"]}
        for old, new in zip(stored["param_groups"], (decayed, plain), strict=True)
    ]
    kept = settings.name != "sgd" or settings.momentum > 0
    return {**stored, "state": stored["state"] if kept else {}, "param_groups": groups}
