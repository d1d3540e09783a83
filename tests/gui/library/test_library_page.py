"""The table of runs: what it lists, filters, sorts, folds, compares and copies."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import QPoint, Qt
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QApplication, QLineEdit
from pytestqt.qtbot import QtBot

from lbc.library.columns import Frame
from lbc.library.run_summary import RunSummary
from lbc_gui.library.arrangement import MOST_COLUMNS, Request, arrange
from lbc_gui.library.library_page import LibraryPage
from lbc_gui.settings import Settings, TableColumns
from tests.gui.conftest import SECONDS
from tests.gui.library.conftest import LEFT, click, place, texts, until_titles
from tests.library.run_folders import write_run

Open = Callable[..., LibraryPage]
Key = Qt.Key

ALL = ("fast-1", "fast-0", "slow-1", "slow-0", "cut")
"""The newest first."""


def test_runs_appear_move_and_go_as_their_folders_do(
    qtbot: QtBot, open_page: Open, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    page = open_page(folder)
    assert "no runs yet" in page.empty.text.text() and str(folder) in page.empty.text.text()
    assert page.empty.isVisible()
    write_run(folder / "first", {"training": {"epochs": 9}}, status="running", epoch=2)
    until_titles(qtbot, page, "first")
    assert texts(page, "status") == ["cut off 2/9"]  # no process has locked it
    click(qtbot, page, "first")
    write_run(folder / "first", {"training": {"epochs": 9}}, status="stopped", epoch=5)
    qtbot.waitUntil(lambda: texts(page, "status") == ["stopped 5/9"], timeout=SECONDS)
    assert [run.epoch for run in page.table.chosen_runs] == [5]
    (folder / "damaged").mkdir()
    (folder / "damaged" / "run.json").write_text("{")
    qtbot.waitUntil(lambda: "damaged" in texts(page), timeout=SECONDS)
    [line] = [line for line in page.table.runs.lines if line.runs[0].folder.name == "damaged"]
    assert line.faint
    index = page.table.runs.index(page.table.runs.lines.index(line), 1)
    assert "damaged" in index.data(Qt.ItemDataRole.ToolTipRole)
    for name in ("first", "damaged"):
        shutil.rmtree(folder / name)
    qtbot.waitUntil(lambda: page.empty.isVisible(), timeout=SECONDS)
    assert not page.selection.selection.selected
    write_run(folder / "last")
    until_titles(qtbot, page, "last")
    with qtbot.waitSignal(page.failed, timeout=SECONDS) as failed:
        folder.rename(tmp_path / "elsewhere")  # as a disk that is taken out
    assert str(folder) in failed.args[0] and texts(page) == ["last"]


def test_the_filter_applies_to_table_and_selection_and_points_at_the_word(
    qtbot: QtBot, page: LibraryPage
) -> None:
    line = page.filter.line
    assert texts(page) == list(ALL)
    qtbot.keyClicks(line, "accuracy > 91 and optimizer.lr")
    qtbot.keyClicks(line, " = 0.1")
    until_titles(qtbot, page, "fast-1", "fast-0")
    assert {run.folder.name for run in page.selection.selection.shown} == {"fast-1", "fast-0"}
    qtbot.keyClicks(line, " and acuracy > 3")
    qtbot.waitUntil(page.filter.problem.isVisible, timeout=SECONDS)
    assert "did you mean 'accuracy'" in page.filter.problem.text()
    assert texts(page) == ["fast-1", "fast-0"]  # as before, while it cannot be understood
    qtbot.keyClick(line, Key.Key_Escape)
    until_titles(qtbot, page, *ALL)
    assert not page.filter.problem.isVisible()
    qtbot.keyClicks(line, "seed = 99")
    qtbot.waitUntil(page.empty.isVisible, timeout=SECONDS)
    qtbot.mouseClick(page.empty.button, LEFT)
    until_titles(qtbot, page, *ALL)


def test_words_are_completed_by_the_keyboard(qtbot: QtBot, page: LibraryPage) -> None:
    line, popup = page.filter.line, page.filter._popup
    page.activateWindow()
    line.setFocus()
    qtbot.waitUntil(line.hasFocus, timeout=SECONDS)
    qtbot.keyClicks(line, "accu")
    qtbot.waitUntil(popup.isVisible, timeout=SECONDS)
    qtbot.keyClick(popup, Key.Key_Tab)
    assert line.text() == "accuracy "
    qtbot.waitUntil(popup.isVisible, timeout=SECONDS)  # the operators
    qtbot.keyClick(popup, Key.Key_Escape)
    assert line.text() == "accuracy " and not popup.isVisible()


def test_a_click_on_a_header_sorts_and_another_reverses(qtbot: QtBot, page: LibraryPage) -> None:
    header = page.table.horizontalHeader()
    keys = [column.key for column in page.table.runs.arrangement.columns]

    def click_on(key: str) -> None:
        left = header.sectionViewportPosition(keys.index(key))
        qtbot.mouseClick(header.viewport(), LEFT, pos=QPoint(left + 12, 8))

    click_on("accuracy")
    until_titles(qtbot, page, "fast-1", "fast-0", "slow-1", "slow-0", "cut")
    click_on("accuracy")
    until_titles(qtbot, page, "cut", "slow-0", "slow-1", "fast-0", "fast-1")
    click_on("title")
    until_titles(qtbot, page, "cut", "fast-0", "fast-1", "slow-0", "slow-1")


def test_columns_are_what_differs_and_what_the_user_chooses(
    qtbot: QtBot, page: LibraryPage
) -> None:
    def keys() -> list[str]:
        return [column.key for column in page.table.runs.arrangement.columns]

    assert {"n:m", "seed", "optimizer.lr", "training.epochs"} <= set(keys())
    assert "optimizer.momentum" not in keys() and keys()[:3] == ["star", "title", "status"]
    qtbot.keyClicks(page.filter.line, "name = fast")
    qtbot.waitUntil(lambda: "optimizer.lr" not in keys(), timeout=SECONDS)
    assert "seed" in keys()
    qtbot.mouseClick(page._columns, LEFT)
    columns = page.columns
    qtbot.keyClicks(columns.search, "momentum")
    items = [item for item in columns._items if not item.isHidden()]
    [momentum] = [item for item in items if item.text() == "momentum"]
    box = columns.list.visualItemRect(momentum)
    qtbot.mouseClick(columns.list.viewport(), LEFT, pos=box.topLeft() + QPoint(12, 8))
    qtbot.waitUntil(lambda: "optimizer.momentum" in keys(), timeout=SECONDS)
    columns.close()


def test_chosen_columns_and_their_widths_are_kept(
    qtbot: QtBot, open_page: Open, settings: Settings, tmp_path: Path
) -> None:
    def shown(page: LibraryPage) -> dict[str, int]:
        keys = [column.key for column in page.table.runs.arrangement.columns]
        return {key: page.table.columnWidth(at) for at, key in enumerate(keys)}

    first = open_page()
    first.columns.chosen.emit("optimizer.momentum", True)
    first.columns.chosen.emit("seed", False)
    qtbot.waitUntil(lambda: "optimizer.momentum" in shown(first), timeout=SECONDS)
    header = first.table.horizontalHeader()
    edge = QPoint(header.sectionViewportPosition(2) - 1, 8)  # of the column of titles
    qtbot.mousePress(header.viewport(), LEFT, pos=edge)
    before = shown(first)["title"]
    qtbot.mouseMove(header.viewport(), edge + QPoint(40, 0))
    qtbot.mouseRelease(header.viewport(), LEFT, pos=edge + QPoint(40, 0))
    assert shown(first)["title"] == before + 40
    first.hide()
    second = open_page()
    assert shown(second)["title"] == before + 40 and "seed" not in shown(second)
    assert "optimizer.momentum" in shown(second)
    second.hide()
    first.show()
    first.columns.chosen.emit("training.batch_size", True)
    first.hide()
    second.show()  # which was made before that column was chosen
    qtbot.waitUntil(lambda: "training.batch_size" in shown(second), timeout=SECONDS)
    second.columns.reset_wanted.emit()
    second.hide()
    assert {"seed"} <= shown(open_page()).keys()
    for damaged in ("{", "[1]", '{"widths": {"title": -5}}', '{"shown": 3}'):
        settings._change({"runs/columns": damaged})
        assert settings.columns == TableColumns()


def test_of_five_hundred_settings_that_differ_the_first_are_shown(tmp_path: Path) -> None:
    runs = [
        RunSummary(
            tmp_path / str(at),
            "finished",
            method="lbc",
            parameters={f"s{k}": at for k in range(500)},
        )
        for at in range(3)
    ]
    shown = arrange(Frame(runs), Request())
    assert len(shown.columns) == MOST_COLUMNS and len(shown.choices()) > 500
    asked = arrange(Frame(runs), Request(shown=frozenset({"s499"}), hidden=frozenset({"s0"})))
    keys = [column.key for column in asked.columns]
    assert keys[-1] == "s499" and "s0" not in keys and "s1" in keys


def test_a_row_of_seeds_has_what_the_names_of_its_runs_begin_with(
    qtbot: QtBot, open_page: Callable[..., LibraryPage], tmp_path: Path
) -> None:
    for seed in range(2):
        name = f"lbc-seed{seed}"
        write_run(tmp_path / "named" / name, {"name": name, "seed": seed})
    page = open_page(tmp_path / "named")
    qtbot.mouseClick(page.folded, LEFT)
    until_titles(qtbot, page, "▸ lbc-seed… × 2")
    page.activateWindow()
    page.table.setFocus()
    page.table.selectAll()
    qtbot.keyClick(page.table, Qt.Key.Key_C)
    assert not page.below.title.folded and page.focusWidget() is page.comparison.tabBar()
    qtbot.keyClick(page.comparison.tabBar(), Qt.Key.Key_Right)
    assert page.comparison.tabText(page.comparison.currentIndex()) == "Settings"
    before = page.below.height()
    page.resize(page.width(), page.height() + 400)  # both the table and what is below it grow
    qtbot.waitUntil(lambda: 100 < page.below.height() - before < 300, timeout=SECONDS)


def test_what_is_typed_before_a_note_has_its_column_goes_into_the_note(
    qtbot: QtBot, page: LibraryPage
) -> None:
    commands: list[str] = []
    page.commanded.connect(lambda name, _runs: commands.append(name))
    page.activateWindow()
    page.table.setFocus()
    page.table.selectRow(0)
    qtbot.keyClick(page.table, Qt.Key.Key_N)
    assert not page.table.editing
    qtbot.keyClicks(page.table, "see")  # star, show the folder
    qtbot.waitUntil(lambda: page.table.editing, timeout=SECONDS)
    editor = page.table.viewport().focusWidget()
    assert isinstance(editor, QLineEdit)
    qtbot.keyClicks(editor, "n")
    qtbot.keyClick(editor, Key.Key_Return)
    qtbot.waitUntil(lambda: texts(page, "note")[0] == "seen", timeout=SECONDS)
    assert commands == [] and set(texts(page, "star")) == {""}


def test_seeds_fold_into_a_mean_and_unfold(qtbot: QtBot, page: LibraryPage) -> None:
    qtbot.mouseClick(page.folded, LEFT)
    until_titles(qtbot, page, "▸ fast × 2", "▸ slow × 2", "cut")
    assert texts(page, "accuracy")[:2] == ["97.00 ± 1.41", "91.00 ± 1.41"]
    assert page.table.runs.is_heavy(page.table.runs.lines[0], "accuracy")  # the best one
    click(qtbot, page, "fast × 2", "status")
    assert {run.folder.name for run in page.table.chosen_runs} == {"fast-0", "fast-1"}
    actions = page.table.commands.actions_
    assert actions["form"].isEnabled() and not actions["open"].isEnabled()
    qtbot.keyClick(page.table, Key.Key_Right)
    until_titles(qtbot, page, "▾ fast × 2", "fast-1", "fast-0", "▸ slow × 2", "cut")
    qtbot.keyClick(page.table, Key.Key_Return)
    until_titles(qtbot, page, "▸ fast × 2", "▸ slow × 2", "cut")
    qtbot.keyClick(page.table, Key.Key_Return)
    mark = place(page, "fast × 2")
    mark.setX(page.table.columnViewportPosition(1) + 6)
    qtbot.mouseClick(page.table.viewport(), LEFT, pos=mark)
    until_titles(qtbot, page, "▸ fast × 2", "▸ slow × 2", "cut")


def test_others_are_compared_with_a_baseline(qtbot: QtBot, page: LibraryPage) -> None:
    click(qtbot, page, "slow-1")
    qtbot.keyClick(page.table, Key.Key_B)
    assert texts(page, "accuracy") == [
        "98.00  +6.00", "96.00  +4.00", "92.00", "90.00  −2.00", "50.00  −42.00",
    ]  # fmt: skip
    assert page.table.commands.actions_["baseline"].text() == "No baseline"
    qtbot.mouseClick(page.folded, LEFT)
    qtbot.waitUntil(lambda: len(texts(page)) == 3, timeout=SECONDS)
    assert texts(page, "accuracy")[0] == "97.00 ± 1.41  +6.00"  # than the mean of its seeds
    qtbot.mouseClick(page.folded, LEFT)
    qtbot.waitUntil(lambda: len(texts(page)) == 5, timeout=SECONDS)
    qtbot.keyClick(page.table, Key.Key_B)
    assert texts(page, "accuracy")[0] == "98.00"


def test_rows_are_selected_by_mouse_and_keyboard_and_by_the_panes(
    qtbot: QtBot, page: LibraryPage
) -> None:
    def selected() -> set[str]:
        return {folder.name for folder in page.selection.selection.selected}

    click(qtbot, page, "fast-0")
    qtbot.keyClick(page.table, Key.Key_Down, Qt.KeyboardModifier.ShiftModifier)
    assert selected() == {"fast-0", "slow-1"}
    click(qtbot, page, "cut", modifier=Qt.KeyboardModifier.ControlModifier)
    assert selected() == {"fast-0", "slow-1", "cut"}
    page.selection.select([page.table.runs.lines[0].runs[0].folder])  # as a click on a curve does
    rows = page.table.selectionModel().selectedRows()
    assert [index.row() for index in rows] == [0] and selected() == {"fast-1"}
    qtbot.mouseMove(page.table.viewport(), place(page, "cut"))
    qtbot.waitUntil(lambda: page.selection.selection.hovered is not None, timeout=SECONDS)


def test_the_table_is_copied_as_markdown_csv_and_latex(qtbot: QtBot, page: LibraryPage) -> None:
    clipboard = QGuiApplication.clipboard()
    click(qtbot, page, "fast-0")
    qtbot.keyClick(page.table, Key.Key_C, Qt.KeyboardModifier.ControlModifier)
    lines = clipboard.text().splitlines()
    assert len(lines) == 3 and "| fast-0 |" in lines[2] and "96.00" in lines[2]
    page.table.clearSelection()
    page.copy_menu.actions()[1].trigger()
    lines = clipboard.text().splitlines()
    assert len(lines) == 6 and "optimizer.lr" in lines[0] and "0.96" in lines[2]
    page.copy_menu.popup(page.mapToGlobal(QPoint(10, 10)))
    down, across, value = page.copy_menu.choices
    assert [value.currentText(), down.currentText()] == ["accuracy", "n:m"]
    across.setCurrentText("optimizer.lr")
    page.copy_menu.copy_latex()
    assert r"97.00 $\pm$ 1.41" in clipboard.text() and r"\begin{tabular}" in clipboard.text()
    assert QApplication.activePopupWidget() is None


def test_names_with_any_characters_are_shown_on_one_line(open_page: Open, tmp_path: Path) -> None:
    for name in ("a\u202eb", "x<img src='p'>", "line\nbreak", "\U0001d518" * 40):
        write_run(tmp_path / "odd" / name)
    page = open_page(tmp_path / "odd")
    assert len(texts(page)) == 4
    assert all(title.isprintable() for title in texts(page))
    assert "x<img src='p'>" in texts(page)
    tip = page.table.runs.index(texts(page).index("x<img src='p'>"), 1)
    assert "<img" not in tip.data(Qt.ItemDataRole.ToolTipRole)


def test_a_run_that_cannot_be_read_says_why_in_its_row(
    qtbot: QtBot, open_page: Open, runs: Path
) -> None:
    for seed in range(40):  # above those that cannot be read
        write_run(runs / f"many-{seed}", {"name": "many", "seed": seed}, started="2026-11")
    page = open_page()
    qtbot.waitUntil(lambda: len(texts(page)) == 45, timeout=SECONDS)
    (runs / "cut" / "run.json").write_text("")
    qtbot.waitUntil(lambda: "unreadable" in texts(page, "status"), timeout=SECONDS)
    at, table = texts(page).index("cut"), page.table
    assert at > 40
    shown = {key: texts(page, key)[at] for key in ("status", "duration", "problem")}
    assert shown["duration"] == ""
    assert shown["problem"].startswith("run.json is not what a run writes")
    keys = [column.key for column in table.runs.arrangement.columns]
    for key in ("status", "problem"):
        needed = table.fontMetrics().horizontalAdvance(shown[key])
        assert table.columnWidth(keys.index(key)) >= needed, key
    assert sum(map(table.columnWidth, range(len(keys)))) <= table.viewport().width()


def test_columns_grow_with_what_changes_in_their_rows(
    qtbot: QtBot, page: LibraryPage, runs: Path
) -> None:
    at = [column.key for column in page.table.runs.arrangement.columns].index("status")
    before = page.table.columnWidth(at)
    write_run(
        runs / "cut",
        {"name": "cut", "seed": 7, "pattern": "1:4", "training": {"epochs": 100_000}},
        status="stopped", epoch=99_999, accuracy=0.5, started="2026-10",
    )  # fmt: skip
    qtbot.waitUntil(lambda: "stopped 99999/100000" in texts(page, "status"), timeout=SECONDS)
    assert page.table.columnWidth(at) > before
