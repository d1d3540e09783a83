"""Text on screen: what comes from a file or a network is shown as written, never as HTML.

Qt takes any text that resembles HTML for HTML, and loads the images that it names.
"""

from __future__ import annotations

from html import escape
from typing import Any

from PySide6.QtGui import Qt
from PySide6.QtWidgets import QLabel


class Label(QLabel):
    """A label that shows its text as written."""

    def __init__(self, text: str = "", **properties: Any) -> None:
        super().__init__(text, textFormat=Qt.TextFormat.PlainText, **properties)


class HtmlLabel(QLabel):
    """A label with bold text and links; set it to what ``html`` returns."""

    def __init__(self, text: str = "", **properties: Any) -> None:
        super().__init__(text, textFormat=Qt.TextFormat.RichText, **properties)


def html(template: str, *values: object) -> str:
    """Fill the ``{}`` of an HTML template with values, which are shown as written."""
    return template.format(*(escape(v) if isinstance(v, str) else v for v in values))


def plain(text: str) -> str:
    """Text for a tooltip, which is shown as written."""
    return Qt.convertFromPlainText(text) if Qt.mightBeRichText(text) else text
