"""Runs that stop at a given step, refusals to resume them, and comparisons of two runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lbc.config import Experiment
from lbc.runs.events import Event, StepDone
from lbc.runs.records import read_records
from lbc.runs.run_state import read_state
from lbc.training.control import Control
from lbc.training.failures import TrainingError
from lbc.training.trainer import Trainer

MakeExperiment = Callable[..., Experiment]


def stored(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / "checkpoint.pt", weights_only=True)
    return state


def equal(one: object, other: object) -> bool:
    """True if nested values are equal, tensors bit for bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(equal, one, other))
    return one == other


def assert_same_run(folder: Path, expected: Path) -> None:
    for name in ("model.safetensors", "scores.history", "experiment.yaml"):
        assert (folder / name).read_bytes() == (expected / name).read_bytes(), name
    for name in ("steps.records", "epochs.records"):
        rows, expected_rows = read_records(folder / name), read_records(expected / name)
        for column in expected_rows.keys() - {"seconds"}:
            assert rows[column].tolist() == expected_rows[column].tolist(), (name, column)
    state, expected_state = stored(folder), stored(expected)
    for key in ("model", "optimizer", "scaler", "average", "epoch", "step", "position"):
        assert equal(state[key], expected_state[key]), key
    for key in ("status", "epoch", "accuracy", "density"):
        assert getattr(read_state(folder), key) == getattr(read_state(expected), key), key


def stop_at(step: int, experiment: Experiment, folder: Path, resume: bool = False) -> list[Event]:
    """Train until a given step, then stop as a user would."""
    control, events = Control(), list[Event]()

    def emit(event: Event) -> None:
        events.append(event)
        if isinstance(event, StepDone) and event.step == step:
            control.stop()

    assert Trainer(experiment, folder, control, emit, resume=resume).train().status == "stopped"
    return events


def refusal(experiment: Experiment, folder: Path) -> str:
    with pytest.raises(TrainingError) as caught:
        Trainer(experiment, folder, resume=True).train()
    assert "\n" not in str(caught.value)
    return str(caught.value)
