"""Settings side by side, differences only, and final results with the test against a baseline."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QWidget
from pytestqt.qtbot import QtBot

from lbc_gui.compare.results_pane import ResultsPane
from lbc_gui.compare.run_selection import RunSelection
from lbc_gui.compare.settings_pane import SettingsPane
from lbc_gui.export.view_export import View
from lbc_gui.export.view_renderer import paint
from lbc_gui.theme import apply_theme
from lbc_gui.widgets.table import TableView, faint
from tests.gui.compare.conftest import MakeRun
from tests.gui.conftest import SECONDS


def shown(qtbot: QtBot, pane: QWidget) -> None:
    qtbot.addWidget(pane)
    pane.resize(800, 300)
    pane.show()


def saved_csv(view: View) -> list[str]:
    data = view.data_to_save()
    assert data is not None
    file = io.BytesIO()
    data.writers[".csv"](file)
    return file.getvalue().decode().splitlines()


def headings(table: TableView[Any]) -> list[str]:
    model = table.model()
    return [model.headerData(at, Qt.Orientation.Vertical) for at in range(model.rowCount())]


def test_only_the_settings_that_differ_are_listed(qtbot: QtBot, make_run: MakeRun) -> None:
    selection = RunSelection()
    pane = SettingsPane(selection)
    shown(qtbot, pane)
    assert "Choose two or more runs" in pane.note.text() and not pane.table.isVisible()
    runs = [
        make_run("ant", optimizer={"lr": 0.1}),
        make_run("bear", optimizer={"lr": 0.2}),
        make_run("cow", model={"name": "resnet20"}),
    ]
    selection.show_runs(runs[:2])
    assert headings(pane.table) == ["name", "optimizer.lr"]
    later = SettingsPane(selection)
    shown(qtbot, later)
    assert later.table.columnWidth(0) == later.table.columnWidth(1) > 100
    assert pane.table.shown_cells()[1] == [["name", "ant", "bear"], ["optimizer.lr", "0.1", "0.2"]]
    qtbot.keyClick(pane.differences_only, Qt.Key.Key_Space)
    assert headings(pane.table) == list(runs[0].parameters)
    qtbot.keyClicks(pane.find_box, "LR")
    assert headings(pane.table) and all("lr" in key for key in headings(pane.table))
    pane.find_box.clear()
    qtbot.keyClick(pane.differences_only, Qt.Key.Key_Space)

    selection.show_runs(runs)
    selection.set_baseline(runs[2].folder)
    titles, rows = pane.table.shown_cells()
    assert titles == ["", "cow", "ant", "bear"]
    assert ["model.depth", "–", "3", "3"] in rows
    model = pane.table.model()
    at = headings(pane.table).index("optimizer.lr")
    role = Qt.ItemDataRole.ForegroundRole
    assert [model.index(at, column).data(role) for column in range(3)] == [None, faint(), None]
    pane.activateWindow()
    pane.table.setFocus()
    qtbot.waitUntil(pane.isActiveWindow, timeout=SECONDS)
    pane.table.selectRow(at)
    qtbot.keyClick(pane.table, Qt.Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    copied = QGuiApplication.clipboard().text()
    assert copied == "\tcow\tant\tbear\noptimizer.lr\t0.1\t0.1\t0.2\n"
    assert saved_csv(pane)[0] == "setting,cow,ant,bear"
    picture = pane.picture_to_save()
    assert picture is not None and paint(picture).svg


def test_equal_settings_and_damaged_runs_are_sentences(qtbot: QtBot, make_run: MakeRun) -> None:
    selection = RunSelection()
    settings, results = SettingsPane(selection), ResultsPane(selection)
    for pane in (settings, results):
        shown(qtbot, pane)
    ant = make_run("ant")
    broken = replace(make_run("broken"), status="unreadable", problem="broken is no run.")
    again = replace(ant, folder=ant.folder.with_name("again"))
    selection.show_runs([ant, broken, again])
    said = settings.note.text().splitlines()
    assert said == ["broken is no run.", "These 2 runs have the same settings."]
    assert "broken is no run." in results.note.text()
    assert results.table.shown_cells()[1][0][0] == "the same settings"
    selection.show_runs([broken])
    assert not settings.table.isVisible() and not results.table.isVisible()


def test_a_hundred_runs_of_five_hundred_settings_are_shown(qtbot: QtBot, make_run: MakeRun) -> None:
    selection = RunSelection()
    pane = SettingsPane(selection)
    shown(qtbot, pane)
    ant = make_run("ant")
    wide = {f"s{k % 9}.k{k}": k for k in range(500)}
    selection.show_runs([
        replace(ant, folder=ant.folder / str(k), parameters=wide | {"s1.k1": k}) for k in range(100)
    ])  # fmt: skip
    assert headings(pane.table) == ["s1.k1"]
    qtbot.keyClick(pane.differences_only, Qt.Key.Key_Space)
    assert len(headings(pane.table)) == 500
    assert pane.table.model().columnCount() == 100


def test_results_are_folded_over_seeds_and_tested_against_a_row(
    qtbot: QtBot, make_run: MakeRun
) -> None:
    selection = RunSelection()
    pane = ResultsPane(selection)
    shown(qtbot, pane)
    assert "Choose finished runs" in pane.note.text()
    runs = [
        make_run(f"{rate}-{seed}", accuracy, seed=seed, optimizer={"lr": rate})
        for rate, accuracies in ((0.1, (0.90, 0.91, 0.95)), (0.2, (0.94, 0.93, 0.96)))
        for seed, accuracy in enumerate(accuracies)
    ]
    runs.append(replace(make_run("late", seed=7, optimizer={"lr": 0.1}), status="running"))
    selection.show_runs(runs)
    assert pane.table.shown_cells() == (
        ["settings", "mean", "±", "n"],
        [["lr 0.2", "94.33", "1.53", "3"], ["lr 0.1", "92.00", "2.65", "3 (+1)"]],
    )
    where = pane.table.visualRect(pane.table.model().index(1, 0)).center()
    qtbot.mouseClick(pane.table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    qtbot.mouseDClick(pane.table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    qtbot.mouseRelease(pane.table.viewport(), Qt.MouseButton.LeftButton, pos=where)
    assert selection.selection.baseline == runs[0].folder
    assert [action.text() for action in pane.actions()] == ["Copy &rows", "Use as &baseline"]
    titles, rows = pane.table.shown_cells()
    assert titles[-3:] == ["minus baseline", "p", "p (Holm)"]
    assert [row[-3:] for row in rows] == [["+2.33", "0.250", "0.250"], ["", "", ""]]
    assert "With 3 pairs the smallest possible p is 0.25." in pane.note.text()
    assert "p corrected for the one test of this table" in pane.note.text()
    pane.results.setFocus()
    qtbot.keyClick(pane.results, Qt.Key.Key_Down)
    assert pane.results.currentText() == "density (%)"
    assert pane.table.shown_cells()[1][0][1] == "50.00"
    assert saved_csv(pane)[0] == "settings,mean,±,n,minus baseline,p,p (Holm)"
    for theme in ("dark", "light"):
        apply_theme(theme)
        picture = pane.picture_to_save()
        assert picture is not None and paint(picture).svg


def test_cost_is_beside_accuracy_and_every_format_can_be_copied(
    qtbot: QtBot, make_run: MakeRun
) -> None:
    selection = RunSelection()
    pane = ResultsPane(selection)
    shown(qtbot, pane)
    trained = (
        make_run(f"{method}-{seed}", 0.9, seed=seed, method=method)
        for method in ("sr-ste", "lbc")
        for seed in range(60)
    )
    runs = [replace(run, steps=600, seconds=4.0, peak_memory=250_000_000) for run in trained]
    selection.show_runs(runs)
    titles, rows = pane.table.shown_cells()
    assert titles[-2:] == ["steps/s", "memory MB"]
    assert [row[-2:] for row in rows] == [["150.0", "250"]] * 2
    assert [row[3] for row in rows] == ["60", "60"]  # more than the other panes compare
    selection.set_baseline(runs[-1].folder)
    lines = {
        "Markdown": "| method sr-ste | 90.00 | 0.00 | 60 | +0.00 | 1.000 | 1.000 | 150.0 | 250 |",
        "LaTeX": r"method sr{-}ste & 90.00 & 0.00 & 60 & +0.00 & 1.000 & 1.000 & 150.0 & 250 \\",
        "CSV": "method sr-ste,90.00,0.00,60,+0.00,1.000,1.000,150.0,250",
    }
    for action in pane.copy.menu().actions():
        action.trigger()
        copied = QGuiApplication.clipboard().text().splitlines()
        assert lines[action.text().removeprefix("As ")] in copied
    data = pane.data_to_save()
    assert data is not None and list(data.writers) == [".csv", ".md", ".tex"]
