"""Pins or bans the chosen combination of the pinned block while training is paused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QAction, QKeySequence
from PySide6.QtWidgets import QToolButton, QWidget

from lbc.pictures.glyphs import squares
from lbc.pictures.mask_snapshot import MaskSnapshot
from lbc.pictures.score_snapshot import Snapshot
from lbc.runs.events import Intervention
from lbc_gui.icons import icon
from lbc_gui.widgets.buttons import combo_box
from lbc_gui.widgets.commands import allow, describe_action
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.text import Label, plain

_PIN = "Let it win now: all others of the block are removed for good"
_BAN = "Remove it now and for good"


class InterventionButtons(QWidget):
    """Two actions, also in the menu, and a choice of the block or the whole layer."""

    requested = Signal(object)
    """Intervention."""

    def __init__(self) -> None:
        super().__init__()
        self._paused = False
        self._snapshot: Snapshot | MaskSnapshot | None = None
        self._combination: int | None = None
        self._what = Label()
        self.pin = _action(self, "Pin", "Ctrl+Shift+P", _PIN, lambda: self._request("pin"))
        self.ban = _action(self, "Ban", "Ctrl+Shift+B", _BAN, lambda: self._request("ban"))
        tip = "In this block only, or in every block of the layer"
        self.scope = combo_box(("block", "layer"), tip)
        self.scope.setAccessibleName("Scope")
        pin, ban = QToolButton(), QToolButton()
        for button, action in ((pin, self.pin), (ban, self.ban)):
            button.setDefaultAction(action)
            button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        row((self._what, 1), pin, ban, self.scope, on=self)
        self._show()

    @Slot(bool)
    def allow(self, paused: bool) -> None:
        """Enable the actions while training is ``paused``."""
        self._paused = paused
        self._show()

    def show_snapshot(self, snapshot: Snapshot | MaskSnapshot | None) -> None:
        """The snapshot on screen; only the present can be changed."""
        self._snapshot = snapshot
        self._show()

    def choose(self, combination: int | None) -> None:
        """The combination to pin or ban."""
        self._combination = combination
        self._show()

    def _request(self, action: Literal["pin", "ban"]) -> None:
        snapshot, combination = self._snapshot, self._combination
        if snapshot is None or snapshot.block is None or combination is None:
            return
        block = snapshot.block.index if self.scope.currentIndex() == 0 else None
        layer = snapshot.request.layer
        self.scope.setCurrentIndex(0)  # a whole layer must be chosen each time
        self.requested.emit(Intervention(action, layer, combination, block))

    def _show(self) -> None:
        why = self._why_not()
        for action in (self.pin, self.ban):
            allow(action, why)
        snapshot, combination = self._snapshot, self._combination
        if snapshot is None or combination is None or combination >= snapshot.pattern.count:
            self._what.setText("Intervene")
        else:
            self._what.setText(squares(snapshot.pattern, combination))
        self._what.setToolTip(plain(why or "The chosen combination"))

    def _why_not(self) -> str:
        snapshot, combination = self._snapshot, self._combination
        if not self._paused:
            return "Pause training to intervene"
        if snapshot is None or snapshot.request.moment is not None:
            return "Go back to Live to intervene: the past cannot be changed"
        if combination is None or snapshot.block is None:
            return "Choose a combination in the table to pin or ban it"
        if snapshot.block.scores[combination] == -float("inf"):
            return "This combination has been removed for good"
        if int((snapshot.block.scores > -float("inf")).sum()) == 1:
            return "This block is decided: its last combination stays"
        return ""


def _action(
    parent: QWidget, text: str, shortcut: str, tip: str, slot: Callable[[], object]
) -> QAction:
    action = QAction(icon(text.lower()), f"{text} combination", parent)
    action.setIconText(text)
    action.setShortcut(QKeySequence(shortcut))
    describe_action(action, tip)
    action.triggered.connect(slot)
    return action
