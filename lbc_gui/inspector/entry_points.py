"""Opens checkpoints on the page Inspect."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QTabWidget, QWidget

from lbc_gui.run.log_panel import LogPanel
from lbc_gui.widgets.message_bar import MessageBar

if TYPE_CHECKING:  # the window needs this file before it needs that page
    from lbc_gui.inspector.inspector_page import InspectorPage


class CheckpointOpener(QObject):
    """Brings the Inspect page to the front with what is to be opened."""

    opened = Signal(object)
    """Path of a checkpoint that could be read."""

    def __init__(
        self,
        window: QWidget,
        page: InspectorPage,
        pages: QTabWidget,
        message: MessageBar,
        log: LogPanel,
    ) -> None:
        super().__init__(window)
        self._page, self._pages = page, pages
        self._message, self._log = message, log
        page.said.connect(self._opened)

    @Slot()
    def choose(self) -> None:
        """Let the user choose a checkpoint."""
        self._pages.setCurrentWidget(self._page)
        self._page.choose_file()

    @Slot(object)
    def open(self, paths: Sequence[Path]) -> None:
        """Inspect a checkpoint, and compare it with the second one if there are two."""
        self._pages.setCurrentWidget(self._page)
        self._page.open(paths)

    @Slot(str)
    def _opened(self, sentence: str) -> None:
        self._log.say(sentence)
        if self._page.reading.opening is not None:
            self.opened.emit(self._page.reading.opening.file)
        if not self._message.offering:  # the message is about a file opened before
            self._message.hide()
