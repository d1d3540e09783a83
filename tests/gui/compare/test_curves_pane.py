"""Curves of several runs: nothing is lost, every line has its name, and a click selects a run."""

from __future__ import annotations

import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PySide6.QtCore import QPoint, QPointF, Qt
from PySide6.QtGui import QWheelEvent
from PySide6.QtWidgets import QApplication, QToolTip
from pytestqt.qtbot import QtBot

from lbc.library.run_summary import RunSummary
from lbc.runs.annotations import Annotations
from lbc.runs.metrics import STEP_COLUMNS
from lbc.runs.records import RecordWriter
from lbc_gui.compare.curves_pane import CurvesPane
from lbc_gui.compare.run_selection import RunSelection
from lbc_gui.export.view_renderer import paint
from tests.gui.compare.conftest import STEPS, MakeRun, point_at, spike_of, write_records
from tests.gui.conftest import SECONDS

CONTROL = Qt.KeyboardModifier.ControlModifier


def show(qtbot: QtBot, pane: CurvesPane, selection: RunSelection, *runs: RunSummary) -> None:
    selection.show_runs(runs)
    settle(qtbot, pane)


def settle(qtbot: QtBot, pane: CurvesPane) -> None:
    """Wait until what was asked for is read and drawn, below a legend of its names."""
    qtbot.waitUntil(lambda: pane._shown == pane._asked and pane._complete, timeout=SECONDS)
    QApplication.processEvents()
    pane._graphics.viewport().repaint()


def place(pane: CurvesPane, x: float, y: float) -> QPoint:
    """Where a value is on the viewport."""
    at: QPoint = pane._graphics.mapFromScene(pane.plot.vb.mapViewToScene(QPointF(x, y)))
    return at


def drawn(pane: CurvesPane, run: RunSummary, x: float, y: float) -> bool:
    """Whether a value is drawn in the colour of a run; smooth edges halve it at most."""
    image, at = pane._graphics.viewport().grab().toImage(), place(pane, x, y)
    colour = np.array(pane._selection.colours.of(run.folder).getRgb())
    around = [(at.x() + x, at.y() + y) for x in range(-2, 3) for y in range(-2, 3)]
    seen = np.array([image.pixelColor(*pixel).getRgb() for pixel in around])
    return bool(np.abs(seen - colour).sum(axis=1).min() < 0.6 * np.abs(255 - colour).sum())


@pytest.fixture
def runs(make_curves: MakeRun) -> list[RunSummary]:
    return [
        make_curves(f"run{number}", number, {"optimizer.lr": number / 10, "seed": number % 2})
        for number in (1, 3, 6)
    ]


def test_every_line_and_its_only_spike_are_drawn_at_any_zoom(
    qtbot: QtBot, pane: CurvesPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    show(qtbot, pane, selection, *runs)
    for low, high in ((0, STEPS), (900, 1100), (1000, 1065)):
        pane.plot.setXRange(low, high)
        for run in runs:
            level = 10 * (run.accuracy or 0)
            assert drawn(pane, run, spike_of(level) + 1, level + 4.9)
            assert drawn(pane, run, low + 0.1 * (high - low), level)


def test_the_wheel_zooms_along_x_and_a_double_click_shows_all(
    qtbot: QtBot, pane: CurvesPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    show(qtbot, pane, selection, *runs)
    port, whole = pane._graphics.viewport(), pane.plot.viewRange()
    at = place(pane, 400, 2).toPointF()
    QApplication.sendEvent(port, QWheelEvent(
        at, port.mapToGlobal(at), QPoint(), QPoint(0, 1200), Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier, Qt.ScrollPhase.NoScrollPhase, False,
    ))  # fmt: skip
    port.repaint()
    (left, right), (low, high) = pane.plot.viewRange()
    assert left < 400 < right < 1000
    assert (low, high) == pytest.approx((1, 6), abs=0.5)  # no spike is in view
    qtbot.mouseDClick(port, Qt.MouseButton.LeftButton, pos=at.toPoint())
    qtbot.mouseRelease(port, Qt.MouseButton.LeftButton, pos=at.toPoint())  # Qt holds it else
    port.repaint()
    for now, before in zip(pane.plot.viewRange(), whole, strict=True):
        assert now == pytest.approx(before)


def test_a_line_under_the_pointer_is_named_and_lit_and_a_click_selects_its_run(
    qtbot: QtBot, pane: CurvesPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    show(qtbot, pane, selection, *runs)
    port, (one, other, _) = pane._graphics.viewport(), runs
    point_at(qtbot, port, place(pane, 500, 3))
    qtbot.waitUntil(lambda: selection.selection.hovered == other.folder, timeout=SECONDS)
    assert QToolTip.text().splitlines()[:2] == ["run3", "lr 0.3, seed 1"]
    assert QToolTip.text().splitlines()[2].endswith(": 3")
    assert drawn(pane, runs[1], 700, 3)
    assert not drawn(pane, runs[0], 700, 1)
    point_at(qtbot, port, place(pane, 500, 4.5))
    qtbot.waitUntil(lambda: selection.selection.hovered is None, timeout=SECONDS)
    assert drawn(pane, runs[0], 700, 1)
    for modifier, at, selected in (
        (Qt.KeyboardModifier.NoModifier, 3, {other.folder}),
        (CONTROL, 1, {one.folder, other.folder}),
        (CONTROL, 3, {one.folder}),
        (Qt.KeyboardModifier.NoModifier, 4.5, set()),
    ):
        qtbot.mouseClick(port, Qt.MouseButton.LeftButton, modifier, place(pane, 500, at))
        assert selection.selection.selected == selected
        assert len(selection.selection.compared) == 3
    pane.smoothing_box.setCurrentText("smoothed over 100")
    settle(qtbot, pane)
    spike = spike_of(3) + 1
    point_at(qtbot, port, place(pane, spike, 7.5))  # far from the smoothed line
    qtbot.waitUntil(lambda: selection.selection.hovered == other.folder, timeout=SECONDS)
    assert QToolTip.text().splitlines()[2].startswith(f"step {spike:,}: 8, smoothed 3.")
    selection.hover(runs[2].folder)  # as the table does
    assert not drawn(pane, runs[0], 700, 1)


def test_a_run_that_trains_grows_and_the_others_are_not_read_again(
    qtbot: QtBot, pane: CurvesPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    show(qtbot, pane, selection, *runs)
    group, other = (runs[0].folder,), (runs[1].folder,)
    before = pane._lines[other]
    writer = RecordWriter(runs[0].folder / "steps.records", STEP_COLUMNS)
    writer.append([STEPS + 1, 8.1, 0.5, 0.1, 21])
    writer.close()
    qtbot.waitUntil(lambda: len(pane._lines[group].raw) == STEPS + 1, timeout=SECONDS)
    assert pane._lines[other] is before
    assert list(pane._lines) == [(run.folder,) for run in runs]


def test_a_run_that_cannot_be_read_is_named_and_the_others_are_drawn(
    qtbot: QtBot, pane: CurvesPane, selection: RunSelection, runs: list[RunSummary], tmp_path: Path
) -> None:
    write_records(runs[2].folder / "steps.records", ("step", "loss"), np.ones((3, 2)))
    show(qtbot, pane, selection, *runs)
    pane.axis_box.setCurrentText("by time")
    settle(qtbot, pane)
    assert (
        f"{runs[2].folder / 'steps.records'} is damaged: it has no column" in pane._problem.text()
    )
    assert len(pane._lines) == 2
    shutil.rmtree(runs[0].folder)
    qtbot.waitUntil(lambda: len(pane._lines) == 1, timeout=SECONDS)
    assert "The curve of the run run0" not in pane._problem.text()
    assert "The curve of the run run1 cannot be read (No such file" in pane._problem.text()
    selection.show_runs(runs[1:2])
    settle(qtbot, pane)
    assert not pane._problem.isVisible()


def test_the_legend_names_the_settings_that_tell_a_line_and_its_pointer_the_run(
    qtbot: QtBot, pane: CurvesPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    named = replace(runs[1], annotations=Annotations(title="mine"))
    twins = [replace(runs[2], parameters=runs[0].parameters), runs[0]]
    show(qtbot, pane, selection, runs[0], named, runs[2])
    text = pane._legend.text().replace("\N{NO-BREAK SPACE}", " ")
    assert f"{pane._labels[runs[0].folder]}</a>" in text and "mine</a>" in text
    assert runs[0].title not in text
    legend = pane._legend
    point_at(qtbot, legend, QPoint(legend.contentsMargins().left() + 30, legend.height() // 2))
    qtbot.waitUntil(lambda: QToolTip.text().startswith(runs[0].title), timeout=SECONDS)
    assert selection.selection.hovered == runs[0].folder
    show(qtbot, pane, selection, *twins, named)  # their settings do not tell these two apart
    assert all(f"{run.title}</a>" in pane._legend.text() for run in twins)


def test_steps_and_epochs_have_ticks_at_whole_numbers(
    qtbot: QtBot, pane: CurvesPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    show(qtbot, pane, selection, *runs)
    axis = pane.plot.getAxis("bottom")
    for metric, by, whole in (
        ("Test accuracy", "by epoch", True),
        ("Training loss of the step", "by step", True),
        ("Training loss of the step", "by epoch", False),
    ):
        pane.metric_box.setCurrentText(metric)
        pane.axis_box.setCurrentText(by)
        settle(qtbot, pane)
        for high in (1.5, 3, 8):
            ticks = [at for _, level in axis.tickValues(0.5, high, 900) for at in level]
            assert ticks and all(at == int(at) for at in ticks) == whole


def test_seeds_are_folded_into_a_mean_and_a_band(
    qtbot: QtBot, pane: CurvesPane, selection: RunSelection, make_curves: MakeRun
) -> None:
    runs = [
        make_curves(
            f"run{level}", level, {"optimizer.lr": lr, "seed": level, "name": f"run{level}"}
        )
        for lr, level in ((0.1, 1), (0.1, 3), (0.5, 8))
    ]
    pane.seeds_box.setCurrentText("seeds: mean, range")
    show(qtbot, pane, selection, *runs)
    assert [len(group) for group in pane._lines] == [2, 1]
    line = next(iter(pane._lines.values()))
    assert line.band is not None
    assert [curve.y[0] for curve in (line.raw, line.band.low, line.band.high)] == [2, 1, 3]
    assert "lr 0.1: 2 runs" in pane._legend.text()
    data = pane.data_to_save()
    assert data is not None
    table, arrays = BytesIO(), BytesIO()
    data.writers[".csv"](table)
    data.writers[".npz"](arrays)
    lines = table.getvalue().decode().splitlines()
    assert lines[:2] == [
        "run,folder,step,Training loss of the step,low,high",
        f"lr 0.1: 2 runs,{runs[0].folder},1.0,2.0,1.0,3.0",
    ]
    assert len(lines) == 1 + 2 * STEPS
    with np.load(BytesIO(arrays.getvalue())) as saved:
        assert saved["runs"].tolist() == ["lr 0.1: 2 runs", "run8"]
        assert saved["high0"][0] == 3 and len(saved["x1"]) == STEPS
    picture = pane.picture_to_save()
    assert picture is not None
    image = paint(picture).image
    colours = {
        image.pixelColor(x, y).name()
        for x in range(0, image.width(), 7)
        for y in range(image.height())
    }
    assert {selection.colours.of(run.folder).name() for run in (runs[0], runs[2])} <= colours


def test_runs_of_one_name_are_all_saved_and_hundreds_of_settings_fit(
    qtbot: QtBot, pane: CurvesPane, selection: RunSelection, make_curves: MakeRun
) -> None:
    same = Annotations(title="<b>same\n" * 99)
    runs = [
        replace(make_curves(f"run{at}", at, {f"s{k}": at for k in range(500)}), annotations=same)
        for at in (1, 2)
    ]
    show(qtbot, pane, selection, *runs)
    data = pane.data_to_save()
    assert data is not None
    arrays = BytesIO()
    data.writers[".npz"](arrays)
    with np.load(BytesIO(arrays.getvalue())) as saved:
        assert saved["folders"].tolist() == [str(run.folder) for run in runs]
        assert (saved["y0"][0], saved["y1"][0]) == (1, 2)
    assert "&lt;b&gt;same\\n" in pane._legend.text()
    point_at(qtbot, pane._graphics.viewport(), place(pane, 500, 2))
    qtbot.waitUntil(lambda: selection.selection.hovered == runs[1].folder, timeout=SECONDS)
    assert len(QToolTip.text()) < 1000


def test_a_diverged_run_and_zeros_on_a_logarithmic_axis_leave_the_others_in_view(
    qtbot: QtBot, pane: CurvesPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    step = np.arange(1.0, 11)
    loss = np.array([1, 0, 2, 4, np.inf, np.nan, np.nan, np.nan, 3, np.nan])
    rows = np.column_stack([step, step / 250, loss, step, step])
    write_records(runs[0].folder / "steps.records", STEP_COLUMNS, rows)
    show(qtbot, pane, selection, *runs)
    assert pane.plot.viewRange()[1] == pytest.approx([0, 11], abs=0.8)
    qtbot.mouseClick(pane.logarithmic, Qt.MouseButton.LeftButton)
    settle(qtbot, pane)
    assert pane.plot.viewRange()[1] == pytest.approx([0, np.log10(11)], abs=0.1)
    pane.smoothing_box.setCurrentText("smoothed over 10")
    settle(qtbot, pane)
    assert pane._lines[(runs[0].folder,)].smoothed is not None
    pane.metric_box.setCurrentText("Test accuracy")
    settle(qtbot, pane)
    assert not pane.logarithmic.isEnabled()
    assert pane.plot.viewRange()[1] == pytest.approx([10, 60], abs=4)


def test_nothing_is_read_while_the_pane_is_hidden(
    qtbot: QtBot, pane: CurvesPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    pane.hide()
    selection.show_runs(runs)
    assert pane._asked.groups == ()
    pane.show()
    settle(qtbot, pane)
    assert len(pane._lines) == 3
    selection.show_runs([])
    assert not pane._lines
    assert pane.picture_to_save() is None and pane.data_to_save() is None


def test_a_plot_without_room_draws_nothing_and_warns_of_nothing(
    qtbot: QtBot,
    pane: CurvesPane,
    selection: RunSelection,
    runs: list[RunSummary],
    qtlog: Any,
) -> None:
    show(qtbot, pane, selection, *runs)
    for height in range(1, 90):
        pane._graphics.setFixedSize(90, height)
        QApplication.processEvents()
        pane._graphics.viewport().repaint()
    assert not [at for at in qtlog.records if "QPainter" in at.message]
