"""Text on screen: what comes from a file or a network is shown as written, never as HTML.

Qt takes any text that resembles HTML for HTML, and loads the images that it names.
"""

from __future__ import annotations

from html import escape
from typing import Any

from PySide6.QtCore import QSize
from PySide6.QtGui import QFont, QFontMetrics, QPainter, QPaintEvent, Qt
from PySide6.QtWidgets import QFrame, QLabel, QTextBrowser

TITLE_WIDTH = 130
"""The most pixels that the title of a layer insists on."""


class Label(QLabel):
    """A label that shows its text as written."""

    def __init__(self, text: str = "", **properties: Any) -> None:
        super().__init__(text, textFormat=Qt.TextFormat.PlainText, **properties)


class ElidedLabel(Label):
    """One line, whose end is left out where there is no room for it: give it a tooltip with all."""

    @property
    def shown(self) -> str:
        """As much of the text as there is room for."""
        room = self.contentsRect().width()
        return self.fontMetrics().elidedText(self.text(), Qt.TextElideMode.ElideRight, room)

    def minimumSizeHint(self) -> QSize:
        return QSize(0, super().minimumSizeHint().height())

    def paintEvent(self, event: QPaintEvent) -> None:
        flags, enabled, ink = self.alignment().value, self.isEnabled(), self.foregroundRole()
        with QPainter(self) as painter:
            self.style().drawItemText(
                painter, self.contentsRect(), flags, self.palette(), enabled, self.shown, ink
            )


class HtmlLabel(QLabel):
    """A label with bold text and links; set it to what ``html`` returns."""

    def __init__(self, text: str = "", **properties: Any) -> None:
        super().__init__(text, textFormat=Qt.TextFormat.RichText, **properties)


class HtmlPage(QTextBrowser):
    """A long text that scrolls. A label would lay it out for many widths before it is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHtml(text)
        self.viewport().setAutoFillBackground(False)


class LayerTitle(HtmlLabel):
    """The name of a layer in bold, and a note; a long name breaks after its dots."""

    def __init__(self, text: str = "") -> None:
        super().__init__(text, wordWrap=True)

    def show_layer(self, name: str, note: str = "") -> None:
        together = note.replace(" · ", " ·\u00a0")  # no line ends with the dot
        self.setText(html("<b>{}</b>{}", breakable(name), together))
        bold = QFont(self.font())
        bold.setBold(True)
        needed = QFontMetrics(bold).horizontalAdvance(name) + 2
        self.setMinimumWidth(min(needed, TITLE_WIDTH))  # a legend beside it takes what is left


def html(template: str, *values: object) -> str:
    """Fill the ``{}`` of an HTML template with values, which are shown as written."""
    return template.format(*(escape(v) if isinstance(v, str) else v for v in values))


def breakable(name: str) -> str:
    """The name of a layer, in which a line may end after every dot."""
    return name.replace(".", ".\u200b")


def plain(text: str) -> str:
    """Text for a tooltip, which is shown as written."""
    return Qt.convertFromPlainText(text) if Qt.mightBeRichText(text) else text
