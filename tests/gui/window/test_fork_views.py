"""A fork is shown with its parent: curves, history of a block, tree and comparison."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PySide6.QtCore import Qt
from pytestqt.qtbot import QtBot

from lbc.runs.history_reader import Replay
from lbc.runs.run_state import Parent
from lbc.training.trainer import Trainer
from lbc_gui.compare.curves_pane import CurvesPane
from lbc_gui.compare.forks_pane import ForksPane
from lbc_gui.run.session import State
from lbc_gui.window.main_window import MainWindow
from tests.gui.conftest import SECONDS, small_experiment
from tests.gui.library.conftest import click, texts

Open = Callable[..., MainWindow]
Key, LEFT, SHIFT = Qt.Key, Qt.MouseButton.LeftButton, Qt.KeyboardModifier.ShiftModifier
EPOCH = 2


@pytest.fixture
def window(qtbot: QtBot, use_window: Open) -> Iterator[MainWindow]:
    """On a fork whose schedule ends an epoch later than its parent's."""
    window = use_window()
    runs = window.session.runs
    for name, end in (("root", 3), ("fork", 4)):
        if not (runs / name).exists():
            training = {"epochs": 5, "batch_size": 800}
            experiment = small_experiment(name=name, training=training, schedule={"end": end})
            Trainer(experiment, runs / name).train()
    moments = sum(moment.epoch <= EPOCH for moment in Replay(runs / "root").moments)
    claim_parent(runs / "fork", runs / "root", moments)
    window.files.open_run(runs / "fork")
    qtbot.waitUntil(lambda: window.session.folder == runs / "fork", timeout=SECONDS)
    yield window
    window.pages.library.filter.line.clear()


def claim_parent(fork: Path, parent: Path, moments: int) -> None:
    state = json.loads((fork / "run.json").read_text())
    step = EPOCH * 5
    state["parent"] = {"folder": str(parent), "epoch": EPOCH, "step": step, "moments": moments}
    (fork / "run.json").write_text(json.dumps(state))


def compared(window: MainWindow) -> set[str]:
    """The names of the runs that the page Runs compares, once it does."""
    return {run.folder.name for run in window.pages.library.selection.selection.compared}


def until_compared(qtbot: QtBot, window: MainWindow) -> None:
    page = window.pages.library
    qtbot.waitUntil(lambda: window.pages.currentWidget() is page, timeout=SECONDS)
    selection = page.selection
    qtbot.waitUntil(lambda: len(selection.selection.selected) == 2, timeout=SECONDS)
    assert compared(window) == {"fork", "root"}
    baseline = selection.selection.baseline
    assert baseline is not None and baseline.name == "root"
    assert not page.below.title.folded and page.comparison.currentIndex() == 0


def test_the_curves_say_where_the_fork_begins_and_one_click_compares_it(
    qtbot: QtBot, window: MainWindow
) -> None:
    note, marks = window.curves.fork_note, window.curves._fork
    assert note.isVisible() and note.text.text() == "Forked at epoch 2 from root"
    assert [veil.getRegion()[1] for veil in marks._veils] == [EPOCH] * len(marks._veils)
    assert all(line.isVisible() and line.value() == EPOCH for line in marks._lines)
    page = window.pages.library
    qtbot.keyClicks(page.filter.line, "name = nothing")  # which hides both
    qtbot.mouseClick(note.compare, LEFT)
    until_compared(qtbot, window)
    qtbot.waitUntil(lambda: page.comparison.findChild(CurvesPane) is not None, timeout=SECONDS)
    pane = page.comparison.findChild(CurvesPane)
    assert isinstance(pane, CurvesPane)
    qtbot.waitUntil(lambda: len(pane._lines) == 2, timeout=SECONDS)
    fork, root = (pane._lines[page.reader.library.folder / name,] for name in ("fork", "root"))
    assert fork.shared == EPOCH and fork.drawn and fork.parents is None
    assert fork.own.x.tolist() == [2, 3, 4, 5] and root.own.x.tolist() == [1, 2, 3, 4, 5]
    click(qtbot, page, "fork")
    selected = page.selection.selection
    assert {run.folder.name for run in selected.compared} == {"fork", "root"}
    page.selection.select([])
    qtbot.keyClicks(page.filter.line, "name = fork")
    qtbot.waitUntil(lambda: texts(page) == ["fork"], timeout=SECONDS)
    qtbot.waitUntil(lambda: len(pane._lines) == 1, timeout=SECONDS)
    alone = next(iter(pane._lines.values()))
    assert alone.parents is not None and alone.parents.x.tolist() == [1, 2]  # dimmed
    click(qtbot, page, "fork")
    qtbot.keyClick(page.table, Key.Key_C, SHIFT)
    until_compared(qtbot, window)


def test_of_a_long_name_of_the_parent_the_end_is_left_out(qtbot: QtBot, window: MainWindow) -> None:
    note, title = window.curves.fork_note, window.pages.folding["curves"].title
    try:
        for name, cut in (("digits-20261129-101500", False), ("digits" * 40, True)):
            note.show_parent(Parent(f"/runs/{name}", 4, 20, 3))
            window.resize(1024, 700)
            qtbot.waitUntil(lambda: note.geometry().right() > title.width() - 9, timeout=SECONDS)
            assert note.width() > 0.7 * title.width()  # all room beside the word Curves
            assert note.text.shown.startswith("Forked at epoch 4 from digits")
            assert note.text.shown.endswith("…") == cut
            assert name in note.text.toolTip()
    finally:
        window.resize(1280, 800)


def test_the_tree_draws_forks_on_their_parents_and_its_sign_compares(
    qtbot: QtBot, window: MainWindow
) -> None:
    page = window.pages.library
    window.pages.setCurrentWidget(page)
    page.below.title.fold(False)
    page.comparison.setCurrentIndex(page.comparison.count() - 1)
    qtbot.waitUntil(lambda: bool(page.findChildren(ForksPane)), timeout=SECONDS)
    (pane,) = page.findChildren(ForksPane)
    tree = pane.tree
    qtbot.waitUntil(lambda: [row.name for row in tree.rows] == ["root", "fork"], timeout=SECONDS)
    assert tree._rest(1) == "schedule.end 3 → 4"
    start = tree.place(0, EPOCH).toPoint()
    tree.repaint()
    picture = tree.grab().toImage()
    ground = picture.pixelColor(start.x() + 3, start.y() + 8)
    connector = picture.pixelColor(start.x(), start.y() + 12)
    assert connector != ground  # the line that joins them
    assert pane.picture_to_save() is not None
    data, file = pane.data_to_save(), BytesIO()
    assert data is not None
    data.writers[".csv"](file)
    assert [line.split(",")[3] for line in file.getvalue().decode().split()] == [
        "epoch",
        "0.0",
        "2.0",
    ]
    qtbot.mouseClick(tree, LEFT, pos=tree.place(1, 3).toPoint())
    assert {folder.name for folder in page.selection.selection.selected} == {"fork"}
    qtbot.keyClick(tree, Key.Key_Up)
    assert {folder.name for folder in page.selection.selection.selected} == {"root"}
    qtbot.mouseClick(tree, LEFT, pos=tree.sign(1).center())
    until_compared(qtbot, window)


def test_a_block_has_two_futures_until_the_parent_is_deleted(
    qtbot: QtBot, window: MainWindow
) -> None:
    block = window.block
    window.view_state.pin(5)
    block.tabs.setCurrentIndex(1)
    qtbot.waitUntil(lambda: block.life.life is not None, timeout=SECONDS)
    qtbot.waitUntil(lambda: "Dashed" in block.life.summary.text(), timeout=SECONDS)
    life = block.life.life
    assert life is not None and life.other is not None
    said = block.life.summary.text()
    assert "its future in root" in said and "forked at epoch 2.00" in said
    assert life.other.biography.epochs[-1] == 5
    styles = [curve.opts["pen"].style() for curve in block.life.plot._plot.listDataItems()]
    dashed = [style for style in styles if style is Qt.PenStyle.DashLine]
    assert dashed and len(dashed) < len(styles)
    shown = [curve for curve in block.life.plot._plot.listDataItems()
             if curve.opts["pen"].style() is Qt.PenStyle.DashLine]  # fmt: skip
    assert min(np.nanmin(curve.xData) for curve in shown) >= EPOCH - 1
    runs = window.session.runs
    moved = runs.parent / "elsewhere"
    (runs / "root").rename(moved)
    try:
        window.files.open_run(runs / "fork")
        qtbot.waitUntil(lambda: window.session.state is State.OPENED, timeout=SECONDS)
        qtbot.waitUntil(
            lambda: block.life.life is not None and block.life.life.other is None, timeout=SECONDS
        )
        assert "Dashed" not in block.life.summary.text()
        qtbot.mouseClick(window.curves.fork_note.compare, LEFT)
        assert "root was moved or deleted" in window.message.text
    finally:
        shutil.move(moved, runs / "root")
