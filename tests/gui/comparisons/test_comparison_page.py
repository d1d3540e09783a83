"""Methods are compared from the window: asked for, trained, followed, and read as a table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot

from lbc.comparison.trials import parse_methods, plan_trials
from lbc.queue.commands import working
from lbc.sparsity.pattern import Pattern
from lbc.training.trainer import Trainer
from lbc_gui.compare.results_pane import ResultsPane
from lbc_gui.comparisons.comparison_dialog import ComparisonDialog
from lbc_gui.comparisons.comparison_page import KEPT, ComparisonPage, OpenedComparison
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment

Key, Button = Qt.Key, Qt.MouseButton

TWO_EPOCHS = {"training": {"epochs": 2, "batch_size": 500}, "schedule": {"end": 1}}


def write(qtbot: QtBot, line: QLineEdit, text: str) -> None:
    line.setFocus()
    line.selectAll()
    qtbot.keyClicks(line, text)


def asked(qtbot: QtBot, window: MainWindow) -> ComparisonDialog:
    """The dialog that the button of the page opens."""
    page = window.pages.comparisons
    window.pages.setCurrentWidget(page)
    qtbot.mouseClick(page.new, Button.LeftButton)
    dialog = page._dialog
    assert dialog is not None and dialog.isVisible()
    return dialog


def results(page: ComparisonPage) -> ResultsPane | None:
    return None if page.shown is None else page.shown.findChild(ResultsPane)


def shown_rows(page: ComparisonPage) -> list[list[str]]:
    pane = results(page)
    return [] if pane is None else pane.table.shown_cells()[1]


def test_methods_are_trained_and_compared(
    qtbot: QtBot, open_window: Callable[..., MainWindow], tmp_path: Path
) -> None:
    experiment, out = small_experiment(**TWO_EPOCHS), tmp_path / "compared"
    dense, _ = plan_trials(experiment, parse_methods("dense,lbc"), [Pattern(2, 4)], 1, out)
    Trainer(dense.experiment, dense.folder).train()
    window = open_window(experiment)
    page, dialog = window.pages.comparisons, asked(qtbot, window)
    assert dialog.start.text() == "Train 20 runs"
    for text, problem in (
        ("lbc, magic", "'magic' is not known"),
        ("lbc asp", "is not a list of methods"),
    ):
        write(qtbot, dialog.methods, text)
        assert problem in dialog.problem.text() and not dialog.start.isEnabled()
    for text in (dialog.methods.toolTip().rpartition(" ")[2], "dense, lbc"):  # first the example
        write(qtbot, dialog.methods, text)
        assert dialog.problem.isHidden()
    write(qtbot, dialog.patterns, "2:5")
    write(qtbot, dialog.seeds.lineEdit(), "1")
    write(qtbot, dialog.folder, str(out))
    assert dialog.start.text() == "Train 2 runs"
    # What only the network shows is said in the dialog, too.
    qtbot.mouseClick(dialog.start, Button.LeftButton)
    qtbot.waitUntil(dialog.problem.isVisible, timeout=SECONDS)
    assert "No layer of the model can take 2:5" in dialog.problem.text()
    assert dialog.isEnabled() and page.shown is None
    write(qtbot, dialog.patterns, "2:4")
    qtbot.mouseClick(dialog.start, Button.LeftButton)
    qtbot.waitUntil(lambda: page.shown is not None, timeout=SECONDS)
    assert page._dialog is None
    qtbot.waitUntil(lambda: [row[3] for row in shown_rows(page)] == ["1", "1"], timeout=SECONDS)
    opened, pane = page.shown, results(page)
    assert opened is not None and pane is not None
    titles, rows = pane.table.shown_cells()
    tested = {row[0]: row[titles.index("p (Holm)")] for row in rows}
    assert tested == {"method dense": "1.000", "method lbc": ""}
    assert all(row[titles.index("steps/s")] for row in rows)
    qtbot.waitUntil(lambda: opened.queue.summary.text() == "2 finished", timeout=SECONDS)
    qtbot.waitUntil(lambda: not working(out), timeout=SECONDS)


def test_runs_may_start_from_those_of_a_method(
    qtbot: QtBot, window: MainWindow, tmp_path: Path
) -> None:
    dialog = asked(qtbot, window)
    write(qtbot, dialog.seeds.lineEdit(), "2")
    assert not dialog.then.isEnabled()
    dialog.begin.setFocus()
    at = dialog.begin.findText("the run of dense")
    for _ in range(at):
        qtbot.keyClick(dialog.begin, Key.Key_Down)
    write(qtbot, dialog.then, "training.epochs=3")
    assert "Removal ends at epoch 6" in dialog.problem.text()
    write(qtbot, dialog.then, "training.epochs=3 schedule.end=1")
    dense, *others = dialog.request().trials
    assert dialog.start.text() == "Train 8 runs" and dense.method == "dense"
    assert {trial.start for trial in others[:3]} == {dense.folder}
    assert others[0].experiment.training.epochs == 3
    for line, text in (
        (dialog.seeds.lineEdit(), "9999"),
        (dialog.folder, ""),
        (dialog.patterns, "5:4"),
        (dialog.then, "'"),
    ):
        before = line.text()
        write(qtbot, line, text) if text else line.clear()
        assert dialog.problem.isVisible() and not dialog.start.isEnabled()
        write(qtbot, line, before)
    qtbot.keyClick(dialog, Key.Key_Escape)
    page = window.pages.comparisons
    qtbot.waitUntil(lambda: page._dialog is None, timeout=SECONDS)
    assert not (window._runs).exists() or not any(window._runs.iterdir())
    # A folder is opened whether or not it holds runs; what is no folder is a sentence.
    page.open(tmp_path / "none")
    assert "is not a folder" in window.message.text
    for name in ("first", "second", "first"):
        (tmp_path / name).mkdir(exist_ok=True)
        page.open(tmp_path / name)
    assert page.folders.count() == 2 and page.folders.currentText() == "first"
    page.folders.setFocus()
    qtbot.keyClick(page.folders, Key.Key_Down)
    assert page.shown is [*page._opened.values()][1]
    # Of many, those shown last stay as they are; the others are opened anew.
    for number in range(2 * KEPT):
        (tmp_path / str(number)).mkdir()
        page.open(tmp_path / str(number))
    kept = KEPT + 1  # with the one on screen
    qtbot.waitUntil(lambda: len(page.findChildren(OpenedComparison)) == kept, timeout=SECONDS)
    assert page.folders.count() == 2 + 2 * KEPT
    page.folders.setFocus()
    qtbot.keyClick(page.folders, Key.Key_Home)
    assert page.shown is not None and page.shown.library.reader.library.folder.name == "first"
    window.actions_.copy_picture.trigger()  # of no view that is gone
    qtbot.waitUntil(lambda: len(page.findChildren(OpenedComparison)) == kept, timeout=SECONDS)
