"""Files dropped anywhere on the window."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import QEvent, QMimeData, QObject, Qt, Signal
from PySide6.QtGui import QDropEvent
from PySide6.QtWidgets import QWidget

from lbc_gui.widgets.text import Label

NOTICE_WIDTH = 420
"""Pixels of what says what a drop will do, where the window has them."""


class DropTarget(QObject):
    """Accepts files dropped on a window that is on screen, whatever widget they land on.

    As long as they are dragged over it, ``notice`` shows how ``describe`` puts what will happen.
    """

    dropped = Signal(object)
    """Sequence of paths."""

    def __init__(self, window: QWidget, describe: Callable[[Sequence[Path]], str]) -> None:
        super().__init__(window)
        self._window, self._describe = window, describe
        self.notice = Label(wordWrap=True, alignment=Qt.AlignmentFlag.AlignCenter)
        self.notice.setObjectName("drop")
        self.notice.setParent(window)
        self.notice.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
        self.notice.hide()
        window.setAcceptDrops(True)
        window.installEventFilter(self)
        handle = window.windowHandle()
        if handle is not None:  # it receives them before text fields, which would insert the path
            handle.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if isinstance(event, QDropEvent):  # entering and moving are subclasses
            paths = _files(event.mimeData())
            if not paths:
                return False
            event.acceptProposedAction()
            if event.type() == QEvent.Type.DragEnter:
                self._show(self._describe(paths))
            elif event.type() == QEvent.Type.Drop:
                self.notice.hide()
                self.dropped.emit(paths)
            return True
        if event.type() == QEvent.Type.DragLeave:
            self.notice.hide()
        return False

    def _show(self, sentence: str) -> None:
        window, notice = self._window, self.notice
        notice.setText(sentence)
        notice.setFixedWidth(min(NOTICE_WIDTH, window.width()))
        notice.setFixedHeight(notice.heightForWidth(notice.width()))
        notice.move(window.rect().center() - notice.rect().center())
        notice.show()
        notice.raise_()


def _files(dragged: QMimeData) -> list[Path]:
    return [Path(url.toLocalFile()) for url in dragged.urls() if url.isLocalFile()]
