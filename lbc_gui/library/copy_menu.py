"""The menu that copies the table as Markdown, CSV, or a LaTeX table of rows × columns."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PySide6.QtCore import Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QMenu, QWidget, QWidgetAction

from lbc.library.columns import Rows
from lbc.library.formats import (
    format_csv,
    format_latex,
    format_markdown,
    list_groups,
    list_runs,
)
from lbc.library.table import pivot
from lbc_gui.icons import icon
from lbc_gui.library.arrangement import MEASURED, Arrangement
from lbc_gui.theme import GAP, TIGHT
from lbc_gui.widgets.buttons import combo_box, push_button
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.text import Label

PIVOT = ("n:m", "method", "accuracy")
"""Rows, columns and values that are proposed."""


class CopyMenu(QMenu):
    """Copies what ``shown`` returns: the arrangement, selected runs, and the baseline."""

    copied = Signal(str)
    """A sentence that says what is on the clipboard."""

    def __init__(
        self,
        shown: Callable[[], tuple[Arrangement, frozenset[Path], Path | None]],
        parent: QWidget,
    ) -> None:
        super().__init__("Copy", parent)
        self._shown = shown
        self.addAction(icon("copy"), "As Markdown", self.copy_markdown)
        self.addAction(icon("data"), "As CSV", self.copy_csv)
        self.addSeparator()
        self.choices = [combo_box((), tip) for tip in ("Rows", "Columns", "Values")]
        button = push_button("Copy", "Copy a LaTeX table of mean ± deviation", self.copy_latex)
        words = ("LaTeX:", "×", "of")
        parts: list[QWidget] = []
        for word, choice in zip(words, self.choices, strict=True):
            parts += [Label(word), choice]
        bar, action = QWidget(), QWidgetAction(self)
        layout = row(*parts, button, on=bar)
        layout.setContentsMargins(GAP, TIGHT, GAP, TIGHT)
        action.setDefaultWidget(bar)
        self.addAction(action)
        self.aboutToShow.connect(self._list_choices)

    @Slot()
    def copy_markdown(self) -> None:
        """Copy the selected rows, or all, as they are shown."""
        shown, _, folder = self._shown()
        if shown.groups:
            chosen = set(self._rows.tolist())
            groups = [rows for rows in shown.groups if chosen.intersection(rows.tolist())]
            table = list_groups(shown.frame, groups, shown.names)
        else:
            table = list_runs(shown.frame, self._rows, shown.names, shown.row_of(folder))
        self._copy(format_markdown(table), f"{len(table.rows):,} rows as Markdown")

    @Slot()
    def copy_csv(self) -> None:
        """Copy the selected runs, or all, with their values as they are."""
        shown, rows = self._shown()[0], self._rows
        text = format_csv(shown.frame, rows, shown.names)
        self._copy(text, f"{len(rows):,} runs as CSV")

    @Slot()
    def copy_latex(self) -> None:
        """Copy mean ± deviation of the selected runs, or all, for each pair of values."""
        down, across, value = (choice.currentText() for choice in self.choices)
        frame = self._shown()[0].frame
        text = format_latex(pivot(frame, self._rows, down, across, value), frame)
        self._copy(text, f"{value} by {down} and {across} as LaTeX")
        self.close()

    @property
    def _rows(self) -> Rows:
        """The rows of the selected runs, or of all, in the order shown."""
        shown, selected, _ = self._shown()
        if not selected:
            return shown.rows
        runs = zip(shown.rows.tolist(), shown.runs, strict=True)
        return np.array([at for at, run in runs if run.folder in selected], dtype=np.int64)

    @Slot()
    def _list_choices(self) -> None:
        shown = self._shown()[0]
        names = [name for name in shown.names if name not in ("title", "note")]
        measured = [name for name in names if shown.frame.column(name).kind in MEASURED]
        keys = [name for name in names if name not in measured]
        for choice, usual, texts in zip(self.choices, PIVOT, (keys, keys, measured), strict=True):
            before = choice.currentText() or usual
            choice.clear()
            choice.addItems(texts)
            choice.setCurrentIndex(max(0, choice.findText(before)))

    def _copy(self, text: str, what: str) -> None:
        QGuiApplication.clipboard().setText(text)
        self.copied.emit(f"Copied {what}.")
