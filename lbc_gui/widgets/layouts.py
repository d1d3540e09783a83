"""Rows, columns and splitters, with the spacing of the theme."""

from __future__ import annotations

from typing import TypeVar

from PySide6.QtCore import Qt
from PySide6.QtWidgets import QBoxLayout, QHBoxLayout, QSplitter, QVBoxLayout, QWidget

from lbc_gui.theme import GAP, TIGHT

Item = QWidget | QBoxLayout | tuple[QWidget | QBoxLayout, int] | None
"""A widget or layout, alone or with its stretch; None is room that stretches."""

B = TypeVar("B", bound=QBoxLayout)


def row(*items: Item, on: QWidget | None = None, margin: int = 0) -> QHBoxLayout:
    """Items side by side, as the layout of ``on`` or to be put into another layout."""
    return _filled(QHBoxLayout(), items, on, margin, GAP)


def column(*items: Item, on: QWidget | None = None, margin: int = 0) -> QVBoxLayout:
    """Items below each other, as the layout of ``on`` or to be put into another layout."""
    return _filled(QVBoxLayout(), items, on, margin, TIGHT)


def splitter(orientation: Qt.Orientation, *parts: QWidget, sizes: list[int]) -> QSplitter:
    """Parts with movable borders and these sizes in pixels; no part collapses."""
    split = QSplitter(orientation, childrenCollapsible=False)
    for part in parts:
        split.addWidget(part)
    split.setSizes(sizes)
    return split


def _filled(layout: B, items: tuple[Item, ...], on: QWidget | None, margin: int, spacing: int) -> B:
    if on is not None:
        on.setLayout(layout)
    layout.setContentsMargins(margin, margin, margin, margin)
    layout.setSpacing(spacing)
    for item in items:
        content, stretch = item if isinstance(item, tuple) else (item, 0)
        if content is None:
            layout.addStretch(1)
        elif isinstance(content, QWidget):
            layout.addWidget(content, stretch)
        else:
            layout.addLayout(content, stretch)
    return layout
