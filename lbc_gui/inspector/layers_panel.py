"""The layers of the checkpoint: a search field, the table, and one sentence on all of them."""

from __future__ import annotations

from PySide6.QtWidgets import QLineEdit, QWidget

from lbc.inspection.survey import summarise
from lbc.sparsity.pattern import Pattern
from lbc_gui.inspector.layers_table import LayersModel, LayersTable
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.text import Label


class LayersPanel(QWidget):
    """The left half of the page."""

    def __init__(self, model: LayersModel, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._model = model
        self.table = LayersTable(model)
        self.search = QLineEdit()
        self.search.setPlaceholderText("Search layers")
        self.search.setAccessibleName("Search layers")
        self.search.setClearButtonEnabled(True)
        self.search.textChanged.connect(self.table.search)
        self._summary = Label(wordWrap=True)
        column(self.search, (self.table, 1), self._summary, on=self)

    @property
    def summary(self) -> str:
        return self._summary.text()

    def show_comparison(self, shown: bool, pruned: bool) -> None:
        """Show or hide the columns for another checkpoint, and the errors of a pruned one."""
        self.table.show_comparison(shown, pruned)
        self._summary.clear()

    def show_summary(self, pattern: Pattern | None) -> None:
        """Summarise what has been read, checked against ``pattern`` or each layer's own N:M."""
        rows = self._model.rows
        findings = [row.finding for row in rows if row.finding is not None]
        unjudged = sum(bool(row.unjudged) and row.may_be_weight for row in rows)
        text = summarise(findings, unjudged, pattern) if findings else ""
        compared = [row.comparison for row in rows if row.comparison]
        if compared:
            apart = sum(comparison.difference != "same" for comparison in compared)
            text += f" {apart} of {len(compared)} differ from the other checkpoint."
        unread = sum(row.waiting for row in rows)
        if unread:
            text += f" {unread} layers were not read."
        self._summary.setText(text.strip())
