"""What a widget paints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from PySide6.QtCore import QEvent, QObject, QRect
from PySide6.QtGui import QPaintEvent
from PySide6.QtWidgets import QWidget


class Painted(QObject):
    """The areas of a widget's paint events, in pixels."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        self.areas: list[int] = []
        widget.installEventFilter(self)

    def eventFilter(self, _: QObject, event: QEvent) -> bool:
        if isinstance(event, QPaintEvent):
            rects = cast("Iterable[QRect]", event.region())
            self.areas.append(sum(rect.width() * rect.height() for rect in rects))
        return False
