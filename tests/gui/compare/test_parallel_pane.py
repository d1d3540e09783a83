"""Parallel coordinates: ranges on the axes select runs, lines are named and clicked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QToolTip
from pytestqt.qtbot import QtBot

from lbc.library.run_summary import RunSummary
from lbc_gui.compare.parallel_pane import MOST_AXES, ParallelPane
from lbc_gui.compare.run_selection import RunSelection
from lbc_gui.export.view_renderer import paint
from tests.gui.compare.conftest import point_at

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def runs() -> list[RunSummary]:
    return [
        RunSummary(Path(f"run{at}"), "finished", pattern=pattern, accuracy=accuracy,
                   parameters={"optimizer.lr": lr})
        for at, (pattern, lr, accuracy) in enumerate(
            (("1:4", 0.001, 0.9), ("2:4", 0.01, 0.95), ("4:8", 0.1, 0.98), ("2:4", 0.1, None))
        )
    ]  # fmt: skip


@pytest.fixture
def pane(qtbot: QtBot, selection: RunSelection, runs: list[RunSummary]) -> Iterator[ParallelPane]:
    pane = ParallelPane(selection)
    pane.resize(700, 300)
    pane.show()
    selection.show_runs(runs)
    yield pane
    pane.close()
    pane.deleteLater()


def drag(qtbot: QtBot, pane: ParallelPane, axis: int, low: float, high: float) -> None:
    start, end = pane.place(axis, low).toPoint(), pane.place(axis, high).toPoint()
    qtbot.mousePress(pane, LEFT, pos=start)
    qtbot.mouseMove(pane, (start + end) / 2)
    qtbot.mouseMove(pane, end)
    qtbot.mouseRelease(pane, LEFT, pos=end)


def selected(selection: RunSelection) -> set[str]:
    return {folder.name for folder in selection.selection.selected}


def test_only_what_differs_is_an_axis_and_decades_are_evenly_spaced(pane: ParallelPane) -> None:
    assert [axis.name for axis in pane._axes] == ["n:m", "optimizer.lr", "accuracy"]
    assert pane._shares[:2].tolist() == [[0, 0.5, 1, 0.5], pytest.approx([0, 0.5, 1, 1])]
    assert pane._shares[2][:3] == pytest.approx([0, 0.625, 1])


def test_ranges_on_axes_select_the_runs_within_all_of_them(
    qtbot: QtBot, pane: ParallelPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    drag(qtbot, pane, 1, 0.9, 0.3)
    assert selected(selection) == {"run1"}
    drag(qtbot, pane, 1, 0.3, 1)
    assert selected(selection) == {"run1", "run2", "run3"}
    assert len(selection.selection.compared) == len(runs)
    drag(qtbot, pane, 0, 0.2, 0.7)
    assert selected(selection) == {"run1", "run3"}
    qtbot.mouseClick(pane, LEFT, pos=pane.place(1, 0.1).toPoint())  # removes its range
    assert selected(selection) == {"run1", "run3"}
    assert list(pane._brushes) == ["n:m"]
    selection.select([runs[0].folder])  # as the table does
    assert not pane._brushes
    assert selected(selection) == {"run0"}


def test_a_line_is_named_and_clicked(
    qtbot: QtBot, pane: ParallelPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    between = ((pane.place(1, 1) + pane.place(2, 1)) / 2).toPoint()
    point_at(qtbot, pane, between)
    assert selection.selection.hovered == runs[2].folder
    assert QToolTip.text() == "run2\nlr 0.1"
    qtbot.mouseClick(pane, LEFT, pos=between)
    assert selected(selection) == {"run2"}
    qtbot.mouseClick(pane, LEFT, Qt.KeyboardModifier.ControlModifier, between)
    assert selected(selection) == set()


def test_picture_and_data_are_what_is_shown(
    pane: ParallelPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    picture, data = pane.picture_to_save(), pane.data_to_save()
    assert picture is not None and data is not None
    svg = paint(picture).svg
    assert b"optimizer.lr" in svg
    lines = [at.split(",") for at in re.findall(r'<polyline[^>]*points="([^"]*)', svg.decode())]
    assert sum(len(at) - 1 == len(pane._axes) for at in lines) >= len(runs)  # whole lines
    table = BytesIO()
    data.writers[".csv"](table)
    rows = table.getvalue().decode().splitlines()
    assert rows[0] == "run,folder,n:m,optimizer.lr,accuracy %"
    assert rows[-1] == "run3,run3,2:4,0.1,–"
    selection.show_runs(runs[:1])
    assert pane.picture_to_save() is None and pane.data_to_save() is None


def test_hundreds_of_settings_leave_room_for_some(
    pane: ParallelPane, selection: RunSelection
) -> None:
    many = [{f"s{at}": at + run for at in range(500)} for run in range(3)]
    selection.show_runs(
        [RunSummary(Path(str(at)), "finished", parameters=p) for at, p in enumerate(many)]
    )
    assert len(pane._axes) == MOST_AXES
    assert pane._left_out == 500 - MOST_AXES


def test_runs_that_do_not_differ_are_passed_over(
    qtbot: QtBot, pane: ParallelPane, selection: RunSelection, runs: list[RunSummary]
) -> None:
    selection.show_runs([replace(runs[0], folder=Path(name)) for name in ("one", "two")])
    with qtbot.captureExceptions() as raised:
        qtbot.mouseMove(pane, pane.rect().center())
        qtbot.mouseClick(pane, LEFT, pos=pane.rect().center())
    assert not pane._axes and not raised and not selected(selection)
