"""The menu of every field of the form, by right-click or key."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QObject, QPoint, Qt, Signal, Slot
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QApplication, QLineEdit, QMenu, QPlainTextEdit, QWidget

from lbc_gui.icons import icon
from lbc_gui.widgets.number_boxes import NumberBox
from lbc_gui.widgets.text import plain

TIP = "Queue runs with several values of the setting that has the focus"


class FieldMenu(QObject):
    """Adds *Vary…* to what Qt offers for text."""

    vary_requested = Signal(str)
    """The path of a setting."""
    failed = Signal(str, str)
    """A sentence, and no details."""
    said = Signal(str)

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._paths: dict[QWidget | None, str] = {}
        self.vary = QAction(icon("vary"), "&Vary the setting…", self)
        self.vary.setShortcut(QKeySequence("Ctrl+Shift+V"))
        self.vary.setToolTip(plain(f"{TIP} (Ctrl+Shift+V)"))
        self.vary.setStatusTip(TIP)
        self.vary.triggered.connect(self._vary_focused)

    def watch(self, path: str, *widgets: QWidget) -> None:
        """Give label and editor of a setting the menu."""
        for widget in widgets:
            for one in (widget, *widget.findChildren(QLineEdit)):
                self._paths[one] = path
                if one.contextMenuPolicy() is Qt.ContextMenuPolicy.DefaultContextMenu:
                    one.setContextMenuPolicy(Qt.ContextMenuPolicy.CustomContextMenu)
                    one.customContextMenuRequested.connect(partial(self._open, one))

    def _open(self, widget: QWidget, position: QPoint) -> None:
        text = widget.lineEdit() if isinstance(widget, NumberBox) else widget
        if isinstance(text, QLineEdit | QPlainTextEdit):
            menu = text.createStandardContextMenu()
        else:
            menu = QMenu(widget)
        menu.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        vary = QAction(icon("vary"), "Vary…", menu)
        vary.triggered.connect(partial(self._vary, self._paths[widget]))
        others = menu.actions()
        menu.insertActions(others[0] if others else None, [vary])  # type: ignore[arg-type]
        if others:
            menu.insertSeparator(others[0])
        menu.popup(widget.mapToGlobal(position))

    @Slot()
    def _vary_focused(self) -> None:
        focused = QApplication.focusWidget()
        if focused in self._paths:
            self._vary(self._paths[focused])
        else:
            self.failed.emit("Click a setting of the experiment first: Vary tries its values.", "")

    def _vary(self, path: str) -> None:
        self.vary_requested.emit(path)
        self.said.emit("Type the values to be tried below the settings.")
