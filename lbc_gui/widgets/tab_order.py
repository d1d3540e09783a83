"""The order in which Tab goes through widgets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, pairwise

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QWidget


def order(first: QWidget, parts: Sequence[QWidget]) -> None:
    """Let Tab go from ``first`` through the parts of the same window, one after the other.

    Qt has the order in which widgets came into the window; within a part it stays.
    """
    ring = list(_ring(first))
    inside = chain.from_iterable(filter(part.isAncestorOf, ring) for part in parts)
    for before, after in pairwise([first, *inside]):
        QWidget.setTabOrder(before, after)


def _ring(first: QWidget) -> Iterator[QWidget]:
    widget = first.nextInFocusChain()
    while widget is not None and widget is not first:
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            yield widget
        widget = widget.nextInFocusChain()
