"""The layout of the panels and the theme, which are restored at the next start."""

from __future__ import annotations

from PySide6.QtCore import QObject, QSize, Qt, QTimer, Slot
from PySide6.QtGui import QAction, QActionGroup
from PySide6.QtWidgets import QDockWidget, QMainWindow, QWidget

from lbc_gui.settings import Settings
from lbc_gui.theme import apply_theme

FRAME = QSize(4, 36)
"""The frame that a window manager may add; window and frame should fit the screen."""

EXPERIMENT_WIDTH, BLOCK_WIDTH, LOG_HEIGHT = 300, 262, 96


class DockLayout(QObject):
    """The panels around the pages, and the theme."""

    def __init__(self, window: QMainWindow, settings: Settings, themes: QActionGroup) -> None:
        super().__init__(window)
        self._window, self._settings, self._themes = window, settings, themes
        self.docks: list[QDockWidget] = []

    def place(self, experiment: QWidget, block: QWidget, log: QWidget) -> None:
        area, window = Qt.DockWidgetArea, self._window
        for title, widget, where in (
            ("Experiment", experiment, area.LeftDockWidgetArea),
            ("Block", block, area.RightDockWidgetArea),
            ("Log", log, area.BottomDockWidgetArea),
        ):
            dock = QDockWidget(title, window)
            dock.setObjectName(title.lower())
            dock.setWidget(widget)
            window.addDockWidget(where, dock)
            self.docks.append(dock)
        window.setCorner(Qt.Corner.BottomLeftCorner, area.LeftDockWidgetArea)
        window.setCorner(Qt.Corner.BottomRightCorner, area.RightDockWidgetArea)
        sizes = [EXPERIMENT_WIDTH, BLOCK_WIDTH]
        window.resizeDocks(self.docks[:2], sizes, Qt.Orientation.Horizontal)
        window.resizeDocks(self.docks[2:], [LOG_HEIGHT], Qt.Orientation.Vertical)

    def restore(self) -> None:
        """Restore the layout of the last session; call it when the window is complete."""
        self._original = self._window.saveState()
        theme = self._settings.theme
        apply_theme(theme)
        for action in self._themes.actions():
            action.setChecked(action.data() == theme)
        self._themes.triggered.connect(self._theme_chosen)
        layout = self._settings.layout()
        if layout is None:
            room = self._window.screen().availableSize() - FRAME
            self._window.resize(self._window.sizeHint().boundedTo(room))
        else:
            self._window.restoreGeometry(layout[0])
            self._window.restoreState(layout[1])

    def save(self) -> None:
        self._settings.save_layout(self._window.saveGeometry(), self._window.saveState())

    @Slot()
    def reset(self) -> None:
        self._settings.clear_layout()
        window = self._window
        window.setUpdatesEnabled(False)  # paint once, when every panel has its final size
        window.restoreState(self._original)
        QTimer.singleShot(0, window, lambda: window.setUpdatesEnabled(True))

    @Slot(QAction)
    def _theme_chosen(self, action: QAction) -> None:
        self._settings.theme = action.data()
        apply_theme(action.data())
