"""Asks for the address of a run on a server, and shows how connecting to it goes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import Qt
from PySide6.QtWidgets import (
    QDialog,
    QFormLayout,
    QLineEdit,
    QMenu,
    QToolButton,
    QWidget,
)

from lbc.following.address import EXAMPLE, PYTHON, Address
from lbc.runs.mirror_state import MirrorState
from lbc_gui.theme import GAP, MARGIN
from lbc_gui.widgets.buttons import push_button, tool_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.progress_bar import ProgressBar
from lbc_gui.widgets.text import Label

WIDTH = 560
"""Pixels, enough for an address."""

MEBIBYTE = 1 << 20


class ServerDialog(QDialog):
    """Stays open until the run is there, it is cancelled, or closed."""

    requested = Signal(object)
    """Address."""

    def __init__(self, recent: Sequence[str], parent: QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Open a run on a server")
        self.address = QLineEdit(placeholderText=EXAMPLE)
        self.address.setToolTip("User and server as ssh knows them, and the folder of the run")
        self.address.setAccessibleName("Address")
        self.python = QLineEdit(placeholderText=PYTHON)
        self.python.setToolTip("The Python on the server that has lbc, such as ~/env/bin/python")
        self.python.setAccessibleName("Python")
        self._hint = Label(
            "ssh connects with your key and starts lbc there; nothing listens on a port.",
            wordWrap=True,
        )
        self.problem = Label(wordWrap=True)
        self.problem.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.problem.setObjectName("problem")
        self.progress = ProgressBar()
        self.open_button = push_button("Open", "Connect and show the run", self._request)
        self.open_button.setDefault(True)
        self.cancel_button = push_button("Cancel", "Close, and end the connection", self.reject)
        self.cancel_button.setAutoDefault(False)
        self.recent = tool_button("Recent", "Runs on servers that were opened before")
        self.recent.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self._lay_out()
        self._offer(recent)
        self.show_problem("")

    def _offer(self, recent: Sequence[str]) -> None:
        """Offer addresses in a menu, and begin with the first."""
        menu = QMenu(self)
        known = []
        for text in recent:
            with suppress(ValueError):
                known.append(Address.parse(text))
                menu.addAction(text.replace("&", "&&"), partial(self.enter, known[-1]))
        self.recent.setMenu(menu)
        self.recent.setVisible(bool(known))
        if known:
            self.enter(known[0])

    def enter(self, address: Address) -> None:
        """Fill the fields."""
        self.python.setText("" if address.python == PYTHON else address.python)
        self.address.setText(replace(address, python=PYTHON).text)
        self.address.selectAll()

    def show_connecting(self, address: Address) -> None:
        self._enable(False)
        self.problem.hide()
        self.progress.show_done(0, 0)
        self.progress.show()
        self._hint.setText(f"Connecting to {address.login}…")
        self._hint.show()
        self.adjustSize()

    def show_state(self, state: MirrorState) -> None:
        """Show how much is still to be copied."""
        if state.connected and state.missing:
            self._hint.setText(f"Copying {state.missing / MEBIBYTE:.1f} MiB from {state.server}…")

    def show_problem(self, sentence: str) -> None:
        """Show what went wrong, and let the address be changed."""
        self._enable(True)
        self.progress.hide()
        self._hint.setVisible(not sentence)
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))
        self.adjustSize()

    def _enable(self, enabled: bool) -> None:
        for widget in (self.address, self.recent, self.python, self.open_button):
            widget.setEnabled(enabled)
        self.address.setFocus()

    @Slot()
    def _request(self) -> None:
        try:
            address = Address.parse(self.address.text().strip())
            python = self.python.text().strip()
            if python:
                address = Address.parse(replace(address, python=python).text)
        except ValueError as error:
            self.show_problem(str(error))
            return
        self.requested.emit(address)

    def _lay_out(self) -> None:
        fields = QWidget()
        form = QFormLayout(fields)
        form.setContentsMargins(0, 0, 0, 0)
        form.setSpacing(GAP)
        form.addRow(Label("Address:"), row((self.address, 1), self.recent))
        form.addRow(Label("Python:"), self.python)
        buttons = row(None, self.cancel_button, self.open_button)
        parts = fields, self._hint, self.problem, self.progress, buttons
        column(*parts, on=self, margin=MARGIN).setSpacing(GAP)
        self.setMinimumWidth(WIDTH)
