"""Above the first picture, until it is dismissed for good: what a cell is."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QFrame

from lbc_gui.settings import Settings
from lbc_gui.theme import MARGIN, TIGHT
from lbc_gui.widgets.buttons import push_button
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.text import HtmlLabel

TEXT = (
    "Each <b>cell</b> is one combination of a block: which N of M neighbouring weights it keeps. "
    "Its colour compares its <b>score</b> with the others; training removes the lowest."
)


class FirstStrip(QFrame):
    """Shown at every start until one of its buttons was pressed."""

    tour_asked = Signal()

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings
        self.setFrameShape(QFrame.Shape.StyledPanel)
        text = HtmlLabel(TEXT, wordWrap=True)
        self.tour = push_button("Take the tour", "Five steps, which can be skipped", self._tour)
        self.dismiss = push_button("Got it", "Do not show this again", self._dismiss)
        row((text, 1), self.tour, self.dismiss, on=self).setContentsMargins(
            MARGIN, TIGHT, MARGIN, TIGHT
        )
        self.setVisible(not settings.introduced)

    @Slot()
    def _dismiss(self) -> None:
        self._settings.introduced = True
        self.hide()

    @Slot()
    def _tour(self) -> None:
        self._dismiss()
        self.tour_asked.emit()
