"""A bar above the views with a sentence and what the user can do."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType

from PySide6.QtCore import QEvent, Qt, Signal, Slot
from PySide6.QtGui import QGuiApplication, QResizeEvent
from PySide6.QtWidgets import QBoxLayout, QFrame, QPushButton

from lbc_gui.icons import icon
from lbc_gui.theme import MARGIN, TIGHT, Colours, colours
from lbc_gui.widgets.buttons import Clicked, push_button
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.text import Label

NARROW = 800
"""Pixels below which the buttons are under the sentence."""

NO_REMEDIES: Mapping[str, Clicked] = MappingProxyType({})


class MessageBar(QFrame):
    """Hidden until a message is shown; does not block the rest of the window."""

    accepted = Signal()
    """The button of the offer was pressed; the bar is hidden."""
    declined = Signal()
    """An offer was dismissed."""

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("message_bar")
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._dressed: tuple[Colours, bool] | None = None
        self._notice = False
        self._sign = Label()
        self._about: object = None
        self._restyle()
        self._text = Label(wordWrap=True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._details = ""
        tip = "Copy the technical details, for a bug report"
        self._copy = push_button("Copy details", tip, self._copy_details)
        self._accept = QPushButton("Accept")
        self._accept.clicked.connect(self._accepted)
        self._dismiss = QPushButton("Dismiss")
        self._dismiss.clicked.connect(self._dismissed)
        self._remedies = row()
        self._offered: list[QPushButton] = []
        self._remedies_now: dict[str, Clicked] = {}
        sentence = row(self._sign, (self._text, 1))
        buttons = row(None, self._remedies, self._accept, self._copy, self._dismiss)
        self._parts = row((sentence, 1), buttons, on=self)
        self._parts.setContentsMargins(MARGIN, TIGHT, MARGIN, TIGHT)
        self.hide()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        way = QBoxLayout.Direction
        self._parts.setDirection(way.TopToBottom if self.width() < NARROW else way.LeftToRight)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange:
            self._restyle()

    def _restyle(self) -> None:
        now = colours()
        if self._dressed == (now, self._notice):
            return  # setting a style sheet changes the palette again
        self._dressed = now, self._notice
        self._sign.setPixmap(icon("info" if self._notice else "warning").pixmap(18))
        ground, line = now.error_ground, now.error
        if self._notice:
            ground, line = now.raised, now.border
        self.setStyleSheet(
            f"#message_bar {{ background: {ground}; border: 1px solid {line}; "
            "border-radius: 4px; }"
        )

    @property
    def text(self) -> str:
        return self._text.text()

    def show_message(
        self,
        sentence: str,
        details: str = "",
        remedies: Mapping[str, Clicked] = NO_REMEDIES,
        about: object = None,
        notice: bool = False,
    ) -> None:
        """Show ``sentence``, and a button for each of ``remedies``, by its text.

        The user can copy ``details``, if given. ``about``: see ``settle``. A ``notice`` says what
        was or is being done, and not what went wrong.
        """
        self._show(sentence, details, "", remedies, notice)
        self._about = about

    def settle(self, about: object) -> None:
        """Hide the message if it is about this, which has succeeded since."""
        if self._about is about and not self.offering:
            self.hide()

    def offer(self, sentence: str, button: str) -> None:
        self._show(sentence, "", button, notice=True)

    @property
    def offering(self) -> bool:
        return self.isVisible() and not self._accept.isHidden()

    def _show(
        self,
        sentence: str,
        details: str,
        button: str,
        remedies: Mapping[str, Clicked] = NO_REMEDIES,
        notice: bool = False,
    ) -> None:
        self._notice = notice
        self._restyle()
        if remedies != self._remedies_now:
            for old in self._offered:
                self._remedies.removeWidget(old)
                old.hide()
                old.deleteLater()
            self._remedies_now = dict(remedies)
            self._offered = [push_button(text, "", clicked) for text, clicked in remedies.items()]
            for new in self._offered:
                self._remedies.addWidget(new)
        if details:
            logging.getLogger(__name__).error("%s\n%s", sentence, details)
        self._about = None
        self._text.setText(sentence)
        self._details = details
        self._copy.setVisible(bool(details))
        self._accept.setText(button)
        self._accept.setVisible(bool(button))
        self.show()

    @Slot()
    def _accepted(self) -> None:
        self.hide()
        self.accepted.emit()

    @Slot()
    def _dismissed(self) -> None:
        offering = self.offering
        self.hide()
        if offering:
            self.declined.emit()

    @Slot()
    def _copy_details(self) -> None:
        QGuiApplication.clipboard().setText(f"{self.text}\n\n{self._details}")
