"""The box "Find a setting"."""

from __future__ import annotations

from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence
from PySide6.QtWidgets import QDockWidget, QLineEdit, QWidget

from lbc_gui.icons import icon
from lbc_gui.widgets.text import plain


class FindBox(QLineEdit):
    """Words of the settings to show; Escape clears it."""

    def __init__(self) -> None:
        super().__init__(placeholderText="Find a setting", clearButtonEnabled=True)
        self.setAccessibleName(self.placeholderText())
        # It is beside the tabs, which it must not cut.
        self.setFixedWidth(self.fontMetrics().horizontalAdvance(self.placeholderText()) + 18)
        tip = "Show only settings whose name or description has these words"
        self.setToolTip(plain(f"{tip} (Ctrl+F); Escape clears it, Return goes to the first"))
        self.action = QAction(icon("search"), "&Find a setting", self)
        self.action.setShortcut(QKeySequence("Ctrl+F"))
        self.action.setToolTip(plain(f"{tip} (Ctrl+F)"))
        self.action.setStatusTip(tip)
        self.action.triggered.connect(self._start)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() == Qt.Key.Key_Escape:
            self.clear()
        else:
            super().keyPressEvent(event)

    @Slot()
    def _start(self) -> None:
        bring_up(self)
        self.setFocus()
        self.selectAll()


def bring_up(widget: QWidget) -> None:
    """Show the dock that holds ``widget``, which may be closed or behind another."""
    holder: QWidget | None = widget
    while holder is not None and not isinstance(holder, QDockWidget):
        holder = holder.parentWidget()
    if holder is not None:
        holder.show()
        holder.raise_()
