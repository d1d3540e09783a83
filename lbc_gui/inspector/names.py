"""Names of layers, shortened so that the numbers in them and their ends stay visible."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from PySide6.QtWidgets import QStyledItemDelegate, QStyleOptionViewItem

PADDING = 8
"""Pixels of a cell beside its text."""


class NameDelegate(QStyledItemDelegate):
    """Draws names as ``shorten`` returns them."""

    def initStyleOption(self, option: QStyleOptionViewItem, index: Any) -> None:
        super().initStyleOption(option, index)
        shown: Any = option  # PySide's types lack its attributes
        room, metrics = shown.rect.width() - PADDING, shown.fontMetrics
        shown.text = shorten(shown.text, lambda text: metrics.horizontalAdvance(text) <= room)


def shorten(name: str, fits: Callable[[str], bool]) -> str:
    """The longest of the shorter forms of a dotted name that fits, else the shortest.

    ``model.layers.10.self_attn.q_proj`` → ``…layers.10.self_attn.q_proj`` →
    ``…10.self_attn.q_proj`` → ``…10…q_proj``.
    """
    form = name
    for form in _forms(name.split(".")):
        if fits(form):
            return form
    return form


def _forms(parts: list[str]) -> Iterator[str]:
    yield ".".join(parts)
    last = max((at for at, part in enumerate(parts[:-1]) if part.isdigit()), default=len(parts) - 1)
    for start in range(1, last + 1):
        yield "…" + ".".join(parts[start:])
    for end in range(last + 2, len(parts)):
        yield f"…{parts[last]}…" + ".".join(parts[end:])
