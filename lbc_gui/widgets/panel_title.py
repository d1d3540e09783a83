"""The row above a panel: its name, and buttons to fold, float or close it."""

from __future__ import annotations

from functools import partial

from PySide6.QtCore import QPointF, QSize, Qt, Signal, Slot
from PySide6.QtGui import QMouseEvent
from PySide6.QtWidgets import QApplication, QDockWidget, QSplitter, QWidget

from lbc_gui.icons import icon
from lbc_gui.theme import GAP
from lbc_gui.widgets.body_area import BodyArea
from lbc_gui.widgets.buttons import tool_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.text import HtmlLabel, Label, plain

_SMALL = QSize(12, 12)
_NO_LIMIT = 16777215
"""QWIDGETSIZE_MAX, which PySide does not export."""


class PanelTitle(QWidget):
    """The title of ``panel``, which holds ``body`` below it; ``folds`` it to the title alone."""

    folded_changed = Signal(bool)

    def __init__(self, title: str, panel: QWidget, body: QWidget, folds: bool = False) -> None:
        super().__init__()
        self._title, self._panel, self._body = title, panel, body
        self._pressed = QPointF()
        name = Label(title)
        bold = name.font()
        bold.setBold(True)
        name.setFont(bold)
        self.buttons = row(name, None)
        self.fold_button = tool_button("", "", self._fold_clicked)
        self.fold_button.setIconSize(_SMALL)
        self.buttons.insertWidget(0, self.fold_button)
        self.setLayout(self.buttons)
        self.fold_button.setVisible(folds)  # in a layout: alone it would be a window
        self.buttons.setContentsMargins(0 if folds else GAP, 0, 0, 0)
        self._show_button(False)

    def fill(self, widget: QWidget) -> None:
        """Give a widget all room beside the name; while it is hidden, the room stays empty."""
        self.buttons.setStretch(self.buttons.count() - 1, 0)
        self.buttons.addWidget(widget, 1)

    def mousePressEvent(self, event: QMouseEvent) -> None:
        super().mousePressEvent(event)
        self._pressed = event.globalPosition()

    def mouseReleaseEvent(self, event: QMouseEvent) -> None:
        """A click anywhere unfolds the panel; a title that was dragged was not clicked."""
        super().mouseReleaseEvent(event)
        moved = (event.globalPosition() - self._pressed).manhattanLength()
        if self.folded and moved < QApplication.startDragDistance():
            self.fold(False)

    @property
    def folded(self) -> bool:
        return self._body.isHidden()

    def fold(self, folded: bool) -> None:
        """Show the title alone, or the body again."""
        self._body.setHidden(folded)
        self._panel.setMaximumHeight(self.sizeHint().height() if folded else _NO_LIMIT)
        self._show_button(folded)
        self.folded_changed.emit(folded)

    @Slot(bool)
    def follow(self, folded: bool) -> None:
        """Fold as another one has been folded."""
        if folded is not self.folded:
            self.fold(folded)

    def _show_button(self, folded: bool) -> None:
        self.fold_button.setIcon(icon("forward" if folded else "down"))
        self.fold_button.setText(f"{'Unfold' if folded else 'Fold'} {self._title}")
        self.fold_button.setToolTip(plain(f"{'Show' if folded else 'Hide'} {self._title.lower()}"))

    @Slot()
    def _fold_clicked(self) -> None:
        self.fold(not self.folded)


class FoldingPanel(QWidget):
    """The last part of a splitter, under a title that folds it; ``height`` pixels to begin with."""

    def __init__(self, title: str, body: QWidget, height: int) -> None:
        super().__init__()
        self._height = height
        self.title = PanelTitle(title, self, body, folds=True)
        self.title.folded_changed.connect(self._give_room)
        column(self.title, (body, 1), on=self)

    @Slot(bool)
    def _give_room(self, folded: bool) -> None:
        split = self.parent()
        if isinstance(split, QSplitter):
            sizes = split.sizes()
            if folded:
                self._height = max(sizes[-1], self._height)
            here = 0 if folded else self._height
            split.setSizes([*sizes[:-2], max(1, sizes[-2] + sizes[-1] - here), here])


class _PanelArea(BodyArea):
    """Is as wide as its body, and scrolls it only up and down."""

    def __init__(self, body: QWidget) -> None:
        super().__init__(body)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumWidth(body.minimumWidth() + self.verticalScrollBar().sizeHint().width())

    def _least(self) -> QSize:
        body = self._body
        least = body.minimumSizeHint().height()
        labels = (one for one in body.children() if isinstance(one, Label | HtmlLabel))
        for label in labels:
            if label.wordWrap() and not label.isHidden():  # else it is taken for a line or two
                needed = label.heightForWidth(label.width())
                least += max(0, needed - label.minimumSizeHint().height())
        return QSize(0, least)  # the width is the panel's


def give_title(dock: QDockWidget, body: QWidget, folds: bool = False) -> PanelTitle:
    """Put ``body`` into a dock, under a title that can be dragged like that of Qt.

    A body that does not fold scrolls where its height is short.
    """
    if folds:  # a dock without a visible widget would be as narrow as its title
        holder = QWidget()
        column(body, on=holder)
        dock.setWidget(holder)
    else:
        dock.setWidget(_PanelArea(body))
    title = PanelTitle(dock.windowTitle(), dock, body, folds)
    for text, tip, slot, name in (
        ("Float", "Show in a window of its own, or back", partial(_float, dock), "float"),
        ("Close", "Close; View shows it again", dock.close, "close"),
    ):
        button = tool_button(f"{text} {dock.windowTitle()}", tip, slot, name)
        button.setIconSize(_SMALL)
        title.buttons.addWidget(button)
    dock.setTitleBarWidget(title)
    return title


def _float(dock: QDockWidget) -> None:
    dock.setFloating(not dock.isFloating())
