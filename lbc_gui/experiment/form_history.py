"""Undo and redo of the form: one step per edit, however many keys were typed for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from PySide6.QtCore import QEvent, QObject, Qt, Signal, Slot
from PySide6.QtGui import QAction, QKeyEvent, QKeySequence, QUndoCommand, QUndoStack
from PySide6.QtWidgets import QApplication, QLineEdit, QWidget

from lbc_gui.icons import icon
from lbc_gui.widgets.text import plain

Document = dict[str, Any]
"""An experiment as YAML would give it; it may hold what the schema rejects."""


class FormHistory(QObject):
    """Typing in one field is one step, until Return is pressed or the focus leaves the field."""

    restored = Signal(object)
    """Document: what the form is to show again."""

    def __init__(self, parent: QObject) -> None:
        super().__init__(parent)
        self._stack = QUndoStack(self)
        self._step, self._field = 0, ""
        self._watched: set[QWidget] = set()
        self.undo = self._action(
            "&Undo", "Undo the last change of the experiment", "undo", "Ctrl+Z"
        )
        self.redo = self._action(
            "&Redo", "Do again what was undone", "redo", "Ctrl+Shift+Z", "Ctrl+Y"
        )
        self.undo.triggered.connect(self._stack.undo)
        self.redo.triggered.connect(self._stack.redo)
        application = QApplication.instance()
        assert isinstance(application, QApplication)
        application.focusChanged.connect(self._focus_changed)
        self._stack.canUndoChanged.connect(self.undo.setEnabled)
        self._stack.canRedoChanged.connect(self.redo.setEnabled)

    def watch(self, editor: QWidget) -> None:
        """Give the keys of undo and redo in ``editor`` to the form, not to the field alone."""
        self._watched.update((editor, *editor.findChildren(QLineEdit)))

    @Slot(QWidget, QWidget)
    def _focus_changed(self, before: QWidget | None, now: QWidget | None) -> None:
        # Watched only while it has the focus: an event filter is called for every event.
        if before is not None and before in self._watched:
            self._field = ""
            before.removeEventFilter(self)
        if now is not None and now in self._watched:
            now.installEventFilter(self)

    def record(self, field: str, typed: bool, before: Document, after: Document) -> None:
        """Add a step; what is ``typed`` into the same field as before extends the last one."""
        if not typed or field != self._field:
            self._step += 1
        self._field = field if typed else ""
        self._stack.push(_Step(self._step, before, after, self.restored.emit))

    def clear(self) -> None:
        self._field = ""
        self._stack.clear()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QKeyEvent):
            if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
                self._field = ""
            keys = QKeySequence(event.keyCombination())
            if keys in (*self.undo.shortcuts(), *self.redo.shortcuts()):
                self._field = ""
                event.ignore()  # so that the actions receive it
                return True
        return False

    def _action(self, text: str, tip: str, sign: str, *shortcuts: str) -> QAction:
        action = QAction(icon(sign), text, self, enabled=False)
        action.setShortcuts([QKeySequence(keys) for keys in shortcuts])
        action.setToolTip(plain(f"{tip} ({shortcuts[0]})"))
        action.setStatusTip(tip)
        return action


class _Step(QUndoCommand):
    def __init__(
        self, step: int, before: Document, after: Document, restore: Callable[[Document], object]
    ) -> None:
        super().__init__()
        self._step, self.before, self.after, self._restore = step, before, after, restore
        self._done = True

    def id(self) -> int:
        return self._step

    def mergeWith(self, other: QUndoCommand) -> bool:
        assert isinstance(other, _Step)
        self.after = other.after
        self.setObsolete(self.after == self.before)
        return True

    def undo(self) -> None:
        self._done = False
        self._restore(self.before)

    def redo(self) -> None:
        if not self._done:  # else the stack only took the step in
            self._restore(self.after)
