"""The application in a process of its own, answering questions about itself on a pipe.

It only looks: every command reaches the window through the X server, as a user's would.
"""

from __future__ import annotations

import sys
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from PySide6.QtCore import QPoint, QPointF, QTimer
from PySide6.QtWidgets import (
    QAbstractButton,
    QApplication,
    QLabel,
    QMenu,
    QMessageBox,
    QTabBar,
    QWidget,
)

from lbc.config import load_experiment
from lbc.runs.events import StepDone
from lbc_gui.settings import Settings
from lbc_gui.theme import set_up
from lbc_gui.window.main_window import MainWindow


def main(folder: Path, asked: Connection) -> None:
    """Open the window; the process ends with it, with the application's exit status."""
    application = QApplication(["lbc-gui"])
    set_up(application, "light")
    experiment = load_experiment(folder / "experiment.yaml")
    window = MainWindow(experiment, folder / "runs", Settings(folder / "window.ini"))
    losses: list[float] = []
    window.session.events_arrived.connect(
        lambda events: losses.extend(e.loss for e in events if isinstance(e, StepDone))
    )
    window.session.loaded.connect(losses.clear)

    def answer() -> None:
        while asked.poll():
            asked.send(_answer(window, losses, asked.recv()))

    timer = QTimer()
    timer.timeout.connect(answer)
    timer.start(20)
    window.show()
    window.begin()
    sys.exit(application.exec())


def _answer(window: MainWindow, losses: list[float], question: dict[str, Any]) -> Any:
    match question:
        case {"ask": "state"}:
            return _state(window, losses)
        case {"ask": "button", "text": text}:
            buttons = [b for b in window.findChildren(QAbstractButton) if b.text() == text]
            return _centre(next(b for b in buttons if b.isVisible()))
        case {"ask": "moment", "index": index}:
            track = window.timeline.track
            if index >= len(track.moments):
                return None
            return _screen(track, QPointF(track.x_of(index), track.height() / 2))
        case {"ask": "tab", "text": text}:
            bars = [bar for bar in window.findChildren(QTabBar) if bar.isVisible()]
            places = [(bar, at) for bar in bars for at in range(bar.count())]
            bar, at = next((bar, at) for bar, at in places if bar.tabText(at) == text)
            return _screen(bar, QPointF(bar.tabRect(at).center()))
        case {"ask": "editor", "path": path}:
            return _centre(window.experiment_panel.form.editor(path))
        case {"ask": "block", "index": index}:
            heatmap = window.scores.heatmap
            if heatmap._fold is None:
                return None
            return _screen(heatmap, heatmap.block_centre(index))
        case {"ask": "queued row", "index": index, "down": down}:
            table = window.queue.panel.table
            cell = table.visualRect(table.model().index(index, 1))
            return _screen(table.viewport(), QPointF(cell.center().x(), cell.center().y() + down))
        case {"ask": "menu item", "text": text}:
            menu = QApplication.activePopupWidget()
            if not isinstance(menu, QMenu):
                return None
            [item] = [one for one in menu.actions() if one.text() == text]
            return _screen(menu, QPointF(menu.actionGeometry(item).center()))
        case {"ask": "dialog button", "text": text}:
            boxes = [w for w in QApplication.topLevelWidgets() if isinstance(w, QMessageBox)]
            found = [b for box in boxes for b in box.buttons() if b.text().replace("&", "") == text]
            return _centre(found[0]) if found else None
    return None


def _state(window: MainWindow, losses: list[float]) -> dict[str, Any]:
    table = window.block.combinations.table
    return {
        "state": window.session.state.value,
        "losses": losses,
        "pattern": str(window.session.experiment.pattern) if window.session.experiment else "",
        "problem": window.experiment_panel.problem.text(),
        "facts": window.experiment_panel.facts.text(),
        "block": window.block.title,
        "rows": [
            [table.text(row, column) for column in range(table.columnCount())]
            for row in range(table.rowCount())
        ],
        "queue": [(entry.varied, entry.state) for entry in window.queue.moment.queue.entries]
        if hasattr(window, "queue")
        else None,
        "strip": window.help.strip.isVisible(),
        "tour": window.help.tour.text if window.help.tour.isVisible() else "",
        "preview": window.experiment_panel.preview._live.yData.tolist(),
        "moment": window.view_state.view.moment,
        "moments": len(window.view_state.view.moments),
        "view": window.scores.heatmap.view_range,
        "hover": " ".join(label.text() for label in window.statusBar().findChildren(QLabel)),
        "size": [window.width(), window.height()],
    }


def _centre(widget: QWidget) -> list[int]:
    return _screen(widget, QPointF(widget.rect().center()))


def _screen(widget: QWidget, point: QPointF) -> list[int]:
    place = widget.mapToGlobal(QPoint(int(point.x()), int(point.y())))
    return [place.x(), place.y()]
