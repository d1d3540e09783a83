"""The page Runs on its own, above a few run folders written without training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PySide6.QtCore import QPoint, Qt
from pytestqt.qtbot import QtBot

from lbc_gui.library import library_page
from lbc_gui.library.library_page import LibraryPage
from lbc_gui.settings import Settings
from tests.gui.conftest import SECONDS
from tests.library.run_folders import write_run

LEFT = Qt.MouseButton.LeftButton


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two learning rates with two seeds each, and one run that was stopped."""
    folder = tmp_path / "runs"
    for name, rate, seed, accuracy in (
        ("slow-0", 0.01, 0, 0.90),
        ("slow-1", 0.01, 1, 0.92),
        ("fast-0", 0.1, 0, 0.96),
        ("fast-1", 0.1, 1, 0.98),
    ):
        settings = {"name": name[:4], "seed": seed, "optimizer": {"lr": rate}}
        started = f"2026-11-0{'sf'.index(name[0]) + 1}T0{seed}:00:00+00:00"
        write_run(folder / name, settings, accuracy=accuracy, started=started)
    settings = {"name": "cut", "seed": 7, "pattern": "1:4", "training": {"epochs": 8}}
    write_run(folder / "cut", settings, status="stopped", accuracy=0.5, started="2026-10")
    return folder


@pytest.fixture
def open_page(
    qtbot: QtBot, runs: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., LibraryPage]]:
    """Opens the page above a folder, which it reads ten times a second, and waits for the first."""
    monkeypatch.setattr(library_page, "REFRESH_MILLISECONDS", 100)
    opened: list[LibraryPage] = []

    def open_one(folder: Path = runs) -> LibraryPage:
        page = LibraryPage(folder, settings)
        opened.append(page)
        page.below.title.fold(True)
        page.resize(1100, 640)
        page.show()
        qtbot.waitUntil(lambda: page.reader.frame is not None, timeout=SECONDS)
        qtbot.waitUntil(lambda: not page.reader.running, timeout=SECONDS)
        return page

    yield open_one
    for page in opened:
        page.hide()
        page.reader.cancel()
        qtbot.waitUntil(lambda page=page: not page.reader.running, timeout=SECONDS)  # type: ignore[misc]
        page.deleteLater()


@pytest.fixture
def page(open_page: Callable[..., LibraryPage]) -> LibraryPage:
    return open_page()


def texts(page: LibraryPage, key: str = "title") -> list[str]:
    """What a column says, row by row."""
    model = page.table.runs
    keys = [column.key for column in model.arrangement.columns]
    return [model.text(row, keys.index(key)) for row in range(len(model.lines))]


def place(page: LibraryPage, title: str, key: str = "title") -> QPoint:
    """The middle of the cell in a column of the run with this title."""
    keys = [column.key for column in page.table.runs.arrangement.columns]
    row = [text.strip("▸▾ ") for text in texts(page)].index(title)
    index = page.table.runs.index(row, keys.index(key))
    page.table.scrollTo(index)
    return page.table.visualRect(index).center()


def click(
    qtbot: QtBot,
    page: LibraryPage,
    title: str,
    key: str = "title",
    modifier: Qt.KeyboardModifier = Qt.KeyboardModifier.NoModifier,
) -> None:
    qtbot.mouseClick(page.table.viewport(), LEFT, modifier, place(page, title, key))


def until_titles(qtbot: QtBot, page: LibraryPage, *titles: str) -> None:
    """Wait until the table has these rows."""
    qtbot.waitUntil(lambda: [t.strip() for t in texts(page)] == list(titles), timeout=SECONDS)
