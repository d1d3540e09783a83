"""Runs are annotated in their rows, archived, and moved to the trash and back."""

from __future__ import annotations

from pathlib import Path

import pytest
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLineEdit
from pytestqt.qtbot import QtBot

from lbc.runs.annotations import read_annotations
from lbc.runs.records import RecordWriter
from lbc_gui.library.library_page import LibraryPage
from lbc_gui.library.run_changes import Done
from tests.gui.conftest import SECONDS
from tests.gui.library.conftest import LEFT, click, texts, until_titles
from tests.library.run_folders import write_run

Key = Qt.Key
CONTROL = Qt.KeyboardModifier.ControlModifier


def type_into_cell(qtbot: QtBot, page: LibraryPage, text: str) -> None:
    editor = page.table.findChild(QLineEdit)
    assert editor is not None
    editor.selectAll()
    qtbot.keyClicks(editor, text)
    qtbot.keyClick(editor, Key.Key_Return)


def test_title_tags_note_and_star_are_edited_in_the_row(
    qtbot: QtBot, page: LibraryPage, runs: Path
) -> None:
    table = page.table
    click(qtbot, page, "fast-0")
    qtbot.keyClick(table, Key.Key_F2)
    type_into_cell(qtbot, page, "the best <b>")
    until_titles(qtbot, page, "fast-1", "the best <b>", "slow-1", "slow-0", "cut")
    assert read_annotations(runs / "fast-0").title == "the best <b>"
    click(qtbot, page, "slow-0", modifier=CONTROL)
    qtbot.keyClick(table, Key.Key_T)  # no run has a tag yet: the column is not shown before
    qtbot.waitUntil(lambda: table.editing, timeout=SECONDS)
    type_into_cell(qtbot, page, "paper, table 2")
    for name in ("fast-0", "slow-0"):  # both were selected
        qtbot.waitUntil(
            lambda name=name: read_annotations(runs / name).tags == ("paper", "table 2"),  # type: ignore[misc]
            timeout=SECONDS,
        )
    qtbot.waitUntil(lambda: texts(page, "tag").count("paper, table 2") == 2, timeout=SECONDS)
    click(qtbot, page, "cut", "star")
    qtbot.waitUntil(lambda: texts(page, "star")[-1] == "★", timeout=SECONDS)
    qtbot.keyClick(table, Key.Key_N)
    qtbot.waitUntil(lambda: table.editing, timeout=SECONDS)
    write_run(runs / "new", {"name": "new"})  # which does not end the edit
    page.reader.refresh()
    qtbot.waitUntil(lambda: page._held is not None, timeout=SECONDS)
    type_into_cell(qtbot, page, "too short")
    qtbot.waitUntil(lambda: "too short" in texts(page, "note"), timeout=SECONDS)
    assert read_annotations(runs / "cut").star
    qtbot.keyClick(table, Key.Key_S)
    qtbot.waitUntil(lambda: not read_annotations(runs / "cut").star, timeout=SECONDS)


def changed(qtbot: QtBot, page: LibraryPage, key: Qt.Key) -> Done:
    """Press a key that changes runs, and return what was done."""
    with qtbot.waitSignal(page.changed, timeout=SECONDS) as signal:
        qtbot.keyClick(page.table, key)
    done = signal.args[0]
    assert isinstance(done, Done)
    return done


def test_archived_runs_are_hidden_until_asked_for(
    qtbot: QtBot, page: LibraryPage, runs: Path
) -> None:
    click(qtbot, page, "cut")
    done = changed(qtbot, page, Key.Key_A)
    assert done.sentence == "Archived cut." and done.undo is not None
    until_titles(qtbot, page, "fast-1", "fast-0", "slow-1", "slow-0")
    qtbot.mouseClick(page.archived, LEFT)
    until_titles(qtbot, page, "fast-1", "fast-0", "slow-1", "slow-0", "cut")
    qtbot.mouseClick(page.archived, LEFT)
    qtbot.keyClicks(page.filter.line, "archived")
    until_titles(qtbot, page, "cut")
    page.filter.line.clear()
    page.reader.change(done.undo)
    until_titles(qtbot, page, "fast-1", "fast-0", "slow-1", "slow-0", "cut")


def test_runs_go_to_the_trash_and_back_but_not_while_they_are_trained(
    qtbot: QtBot, page: LibraryPage, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "no" / "share"))
    (runs / "slow-1" / "steps.records").unlink()
    training = RecordWriter(runs / "slow-1" / "steps.records", ("step",))
    click(qtbot, page, "slow-1")
    click(qtbot, page, "slow-0", modifier=CONTROL)
    done = changed(qtbot, page, Key.Key_Delete)
    assert done.sentence == "Moved to the trash: slow-0."
    assert len(done.problems) == 1 and "slow-1" in done.problems[0]
    until_titles(qtbot, page, "fast-1", "fast-0", "slow-1", "cut")
    assert not (runs / "slow-0").exists()
    kept = list((tmp_path / "no" / "share" / "Trash" / "files").glob("*/experiment.yaml"))
    assert len(kept) == 1
    assert done.undo is not None
    page.reader.change(done.undo)
    until_titles(qtbot, page, "fast-1", "fast-0", "slow-1", "slow-0", "cut")
    assert (runs / "slow-0" / "experiment.yaml").is_file()
    assert not list((tmp_path / "no" / "share" / "Trash" / "info").iterdir())
    training.close()
