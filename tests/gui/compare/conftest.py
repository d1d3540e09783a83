"""Runs with small files, and panes that show them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from lbc.config import parse_experiment
from lbc.library.run_summary import Parameters, RunSummary, flatten_experiment
from lbc.runs.metrics import EPOCH_COLUMNS, STEP_COLUMNS
from lbc_gui.compare import curves_reader
from lbc_gui.compare.curves_item import CurvesPlot
from lbc_gui.compare.curves_pane import CurvesPane
from lbc_gui.compare.run_selection import RunSelection
from tests.comparison.recorded_runs import record_search
from tests.gui.conftest import SECONDS

STEPS, EPOCHS = 2000, 8


def spike_of(level: float) -> int:
    """The index of the step at which the loss of a run has a spike of 5."""
    return STEPS // 2 + 10 * int(level)


def point_at(qtbot: QtBot, widget: QWidget, place: QPoint) -> None:
    """Move the pointer; from elsewhere, because a pointer that is there already sends no event."""
    qtbot.mouseMove(widget, place + QPoint(30, 30))
    qtbot.mouseMove(widget, place)


MakeRun = Callable[..., RunSummary]


@pytest.fixture(autouse=True)
def changes_are_seen_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves_reader, "POLL_SECONDS", 0.1)


def write_records(file: Path, columns: tuple[str, ...], rows: np.ndarray) -> None:
    head = json.dumps({"columns": columns}).encode() + b"\n"
    file.write_bytes(head + rows.astype("<f8").tobytes())


@pytest.fixture
def make_curves(tmp_path: Path) -> MakeRun:
    """Makes a run whose loss is ``level`` but for one spike, and its accuracy ``level`` tenths."""

    def make(name: str, level: float, parameters: Parameters) -> RunSummary:
        folder = tmp_path / name
        folder.mkdir()
        step = np.arange(1.0, STEPS + 1)
        loss = np.full(STEPS, level)
        loss[spike_of(level)] += 5
        rows = np.column_stack([step, step / 250, loss, 0 * step + 0.1, step / 100])
        write_records(folder / "steps.records", STEP_COLUMNS, rows)
        epoch = np.arange(1.0, EPOCHS + 1)
        full = np.ones(EPOCHS)
        epochs = [epoch, level * full, level * full, level / 10 * full, full, full, 2.5 * epoch]
        write_records(folder / "epochs.records", EPOCH_COLUMNS, np.column_stack(epochs))
        return RunSummary(
            folder, "finished", accuracy=level / 10, seconds=20.0, parameters=parameters
        )

    return make


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Makes the summary of a run; ``searched`` writes the history of a short search too."""

    def make(
        name: str, accuracy: float = 0.9, searched: bool = False, seed: int = 0, **settings: object
    ) -> RunSummary:
        experiment = parse_experiment({"name": name, "seed": seed, **settings})
        if searched:
            record_search(tmp_path / name, experiment.method.name, seed=ord(name[0]))
        return RunSummary(
            tmp_path / name, "finished", name=name, method=experiment.method.name, seed=seed,
            accuracy=accuracy, density=0.5, seconds=12.0, parameters=flatten_experiment(experiment),
        )  # fmt: skip

    return make


@pytest.fixture
def selection() -> RunSelection:
    return RunSelection()


@pytest.fixture
def pane(qtbot: QtBot, selection: RunSelection) -> Iterator[CurvesPane]:
    """Curves of the loss of every step; its thread ends with the test."""
    pane = CurvesPane(selection, CurvesPlot())
    pane.resize(900, 500)
    pane.metric_box.setCurrentText("Training loss of the step")
    pane.axis_box.setCurrentText("by step")
    pane.show()
    yield pane
    pane.close()
    pane.reader.cancel()
    qtbot.waitUntil(lambda: not pane.reader.running, timeout=SECONDS)
    pane.deleteLater()
