"""What the page shows instead of a table without rows."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from lbc_gui.widgets.buttons import push_button
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.text import HtmlLabel, html

READING = "<p>The runs are being read…</p>"
NONE_YET = (
    "<p><b>There are no runs yet.</b></p>"
    "<p>Every run below {} is listed here, whoever trains it:<br>"
    "this window (<b>F5</b>), another one, or <b>lbc train</b> in a shell.</p>"
    "<p>With two or more, their settings, curves, results and masks can be compared.</p>"
)
NONE_SHOWN = (
    "<p><b>None of the {} is shown.</b></p><p>They do not match the filter, or are archived.</p>"
)


class EmptyPage(QWidget):
    """A sentence in the middle, and a button that would help."""

    clear_wanted = Signal()
    """The filter is to be cleared."""

    def __init__(self, runs: Path) -> None:
        super().__init__()
        self._runs = runs
        self.text = HtmlLabel(READING, wordWrap=True)
        self.text.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.button = push_button("Clear the filter", "Show every run", self.clear_wanted)
        middle = Qt.AlignmentFlag.AlignCenter
        layout = column(None, self.text, self.button, None, on=self)
        layout.setAlignment(self.button, middle)
        self.button.hide()

    def show_reason(self, total: int) -> None:
        """Say why there are no rows, with ``total`` runs in all."""
        counted = "1 run" if total == 1 else f"{total:,} runs"
        text = html(NONE_SHOWN, counted) if total else html(NONE_YET, str(self._runs))
        self.text.setText(text)
        self.button.setVisible(bool(total))
