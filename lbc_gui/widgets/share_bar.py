"""A bar along the bottom of a row of a list or table: a share, such as a layer's density."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QRect, Qt
from PySide6.QtGui import QColor, QPainter
from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

from lbc_gui.theme import colours

SHARE = Qt.ItemDataRole.UserRole + 1
"""The role of the share, 0 to 1; no bar is drawn without one."""

HEIGHT, MARGIN = 2, 3


class ShareBars(QStyledItemDelegate):
    """Draws a row, and below its text the share of its width."""

    def paint(
        self,
        painter: QPainter,
        option: QStyleOptionViewItem,
        index: QModelIndex | QPersistentModelIndex,
    ) -> None:
        super().paint(painter, option, index)
        share = index.data(SHARE)
        if share is None:
            return
        shown: Any = option  # PySide's types lack its attributes
        whole = shown.rect.adjusted(MARGIN, 0, -MARGIN, 0)
        whole.setTop(whole.bottom() - HEIGHT)
        filled = QRect(whole)
        filled.setWidth(round(whole.width() * share))
        painter.fillRect(whole, QColor(colours().border))
        painter.fillRect(filled, QColor(colours().caption))
