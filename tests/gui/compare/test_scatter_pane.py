"""Any two columns of the runs, their Pareto front, and a point that is clicked."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtWidgets import QToolTip
from pytestqt.qtbot import QtBot

from lbc.config import dump_experiment, parse_experiment
from lbc.library.run_summary import RunSummary
from lbc_gui.compare.run_selection import RunSelection
from lbc_gui.compare.scatter_pane import ScatterPane
from lbc_gui.export.view_renderer import paint
from tests.gui.compare.conftest import point_at
from tests.gui.conftest import SECONDS

DENSITIES = (0.25, 0.5, 0.5, 1.0, 0.75)
ACCURACIES = (0.94, 0.96, 0.95, 0.97, None)


@pytest.fixture
def runs(tmp_path: Path) -> list[RunSummary]:
    """The third is beaten by the second, and the last has no accuracy yet."""
    return [
        RunSummary(
            tmp_path / f"run{at}",
            "finished",
            density=density,
            accuracy=accuracy,
            method="lbc",
            parameters={"optimizer.lr": 10.0**-at},
        )
        for at, (density, accuracy) in enumerate(zip(DENSITIES, ACCURACIES, strict=True))
    ]


@pytest.fixture
def pane(qtbot: QtBot, selection: RunSelection, runs: list[RunSummary]) -> Iterator[ScatterPane]:
    pane = ScatterPane(selection)
    pane.resize(800, 400)
    pane.show()
    selection.show_runs(runs)
    pane._graphics.viewport().repaint()
    yield pane
    pane.close()
    pane.costs.cancel()
    qtbot.waitUntil(lambda: not pane.costs.running, timeout=SECONDS)
    pane.deleteLater()


def place(pane: ScatterPane, run: int) -> QPoint:
    """Where a run's point is on the viewport."""
    point = QPointF(*pane._places[:, run])
    at: QPoint = pane._graphics.mapFromScene(pane.plot.vb.mapViewToScene(point))
    return at


def test_the_front_is_drawn_and_a_run_without_a_value_is_counted(pane: ScatterPane) -> None:
    assert pane._front.tolist() == [True, True, False, True, False]
    assert pane._note.text() == "1 of 5 runs have no density % or accuracy %."
    x, y = pane._line.getData()
    assert (x.tolist(), y.tolist()) == ([25, 50, 50, 100, 100], [94, 94, 96, 96, 97])
    assert pane.x_choice.lower_button.isChecked() and not pane.y_choice.lower_button.isChecked()
    pane.x_choice.lower_button.click()
    assert pane._front.tolist() == [False, False, False, True, False]


def test_a_point_is_named_and_clicked(
    qtbot: QtBot, pane: ScatterPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    port = pane._graphics.viewport()
    point_at(qtbot, port, place(pane, 1))
    qtbot.waitUntil(lambda: selection.selection.hovered == runs[1].folder, timeout=SECONDS)
    lines = ["run1", "lr 0.1", "density %: 50", "accuracy %: 96", "On the Pareto front"]
    assert QToolTip.text().splitlines() == lines
    control = Qt.KeyboardModifier.ControlModifier
    for modifier, run, selected in (
        (Qt.KeyboardModifier.NoModifier, 1, {1}),
        (control, 3, {1, 3}),
        (control, 1, {3}),
    ):
        qtbot.mouseClick(port, Qt.MouseButton.LeftButton, modifier, place(pane, run))
        assert selection.selection.selected == {runs[at].folder for at in selected}
    between = (place(pane, 0) + place(pane, 3)) / 2
    qtbot.mouseClick(port, Qt.MouseButton.LeftButton, pos=between)
    assert not selection.selection.selected
    assert len(selection.selection.compared) == len(runs)


def test_any_column_can_be_on_an_axis(pane: ScatterPane) -> None:
    pane.x_choice.column_box.setCurrentText("optimizer.lr")
    pane.x_choice.logarithmic.click()
    assert pane._places[0] == pytest.approx([0, -1, -2, -3, -4])
    assert not pane._front.any()  # a setting is neither good nor bad
    pane.y_choice.column_box.setCurrentText("method")
    assert not pane.y_choice.logarithmic.isEnabled()
    assert pane._places[1].tolist() == [0] * 5
    data, picture = pane.data_to_save(), pane.picture_to_save()
    assert data is not None and picture is not None
    table = BytesIO()
    data.writers[".csv"](table)
    first = table.getvalue().decode().splitlines()[:2]
    assert first[0] == "run,folder,optimizer.lr,method,pareto"
    assert first[1].startswith("run0,") and first[1].endswith(",1,lbc,0")
    assert not paint(picture).image.isNull()


def test_the_names_of_settings_are_shown_as_written(
    pane: ScatterPane, selection: RunSelection
) -> None:
    name = "<img src=x>"
    both = [RunSummary(Path(str(at)), "finished", parameters={name: at}) for at in (1, 2)]
    selection.show_runs(both)
    pane.x_choice.column_box.setCurrentText(name)
    assert "&lt;img src=x&gt;" in pane.plot.getAxis("bottom").labelString()


def test_costs_are_computed_in_a_thread_where_they_can_be(
    qtbot: QtBot, pane: ScatterPane, runs: list[RunSummary]
) -> None:
    for run, method in zip(runs, ("lbc", "dense"), strict=False):
        run.folder.mkdir()
        experiment = parse_experiment({"model": {"name": "mlp", "width": 32}, "method": method})
        (run.folder / "experiment.yaml").write_text(dump_experiment(experiment))
    pane.x_choice.column_box.setCurrentText("MACs (million)")
    qtbot.waitUntil(lambda: not pane.costs.running, timeout=SECONDS)
    assert 0 < pane._places[0][0] < pane._places[0][1]
    assert np.isnan(pane._places[0][2:]).all()
    assert "(x" not in pane.plot.getAxis("bottom").labelString()  # no power of ten
    pane.x_choice.column_box.setCurrentText("latency (µs)")
    assert "5 of 5 runs have no latency (µs)" in pane._note.text()
    assert "lbc latency run --run FOLDER --json FOLDER/latency.json" in pane._note.text()
    assert pane.picture_to_save() is None
