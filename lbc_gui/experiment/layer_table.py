"""Which layers become sparse, under which N:M, why the others do not, and what each costs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, QItemSelectionModel, Qt, Signal, Slot
from PySide6.QtGui import QColor, QKeyEvent, QMouseEvent
from PySide6.QtWidgets import QAbstractItemView

from lbc_gui.theme import colours
from lbc_gui.widgets.table import Column, Index, TableModel, TableView, faint

if TYPE_CHECKING:
    from lbc.models.layer_cost import LayerRow
    from lbc.sparsity.layer_plan import LayerPlan


@dataclass(frozen=True)
class EditedLayer:
    """A layer, and what its column N:M says: the present N:M or what was typed over it; ``was``
    is the N:M that it is compared with."""

    layer: LayerRow
    chosen: str
    was: str

    @property
    def name(self) -> str:
        return self.layer.plan.name


COLUMNS: tuple[Column[EditedLayer], ...] = (
    Column(
        "layer", lambda row: row.name or "model",
        "Every layer with a weight matrix or kernels, in the model's order",
    ),
    Column(
        "N:M", lambda row: row.chosen,
        "Double-click to give the selected layers their own pattern, or 'dense'. Shift and Ctrl "
        "select several, Delete removes it. The bar is the share of weights that is kept",
        ground=lambda row: QColor(colours().selection) if row.chosen != row.was else None,
        share=lambda row: one.density if (one := row.layer.plan.pattern) else 1.0,
        edit=lambda row, text: replace(row, chosen=text.strip()),
    ),
    Column(
        "own", lambda row: "●" if row.layer.plan.overridden else "",
        "● has an N:M of its own, others that of the experiment",
    ),
    Column(
        "params", lambda row: _short(row.layer.parameters), "Weights and biases", number=True
    ),
    Column(
        "FLOPs", lambda row: f"{row.layer.share:.1%}",
        "Share of the forward pass's multiply-adds, of all layers and attention", number=True,
    ),
)  # fmt: skip

_PATTERN = 1
"""The column N:M."""


class LayerTable(TableView[EditedLayer]):
    """Every Linear and Conv layer; the N:M of all that are selected can be typed over."""

    overridden = Signal(object, str)
    """Layer names and what was typed: an N:M, "dense", or nothing."""

    def __init__(self) -> None:
        model = TableModel(
            COLUMNS,
            tip=_describe,
            colour=lambda row: faint() if row.layer.plan.pattern is None else None,
            key=lambda row: row.name,
        )
        super().__init__(model, "Layers of the model", stretch=0, row_height=20)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        model.edited.connect(self._edited)
        self._before: dict[str, str] = {}
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)

    def show_rows(self, rows: Sequence[LayerRow], changed: bool = True) -> None:
        """List layers; those of an experiment that is not ``changed`` are what later ones are
        compared with."""
        chosen = {row.plan.name: str(row.plan.pattern or "dense") for row in rows}
        if not changed:
            self._before = chosen
        edited = [
            EditedLayer(row, chosen[name], self._before.get(name, chosen[name]))
            for row, name in zip(rows, chosen, strict=True)
        ]
        if edited != self.table.rows:  # an experiment is examined after many an edit
            self.table.show_rows(edited)

    def compare(self) -> None:
        """Compare later N:M with those listed now."""
        self.show_rows([row.layer for row in self.table.rows], changed=False)

    @property
    def plans(self) -> list[LayerPlan]:
        """Of all layers, in the order shown."""
        return [row.layer.plan for row in self.table.rows]

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Delete, Qt.Key.Key_Backspace):
            if self._selected():
                self.overridden.emit(self._selected(), "")
            return
        if event.key() == Qt.Key.Key_F2 or event.text().isprintable():
            # What is typed goes into N:M, whichever column is current.
            at = self.table.index(self.currentIndex().row(), _PATTERN)
            flag = QItemSelectionModel.SelectionFlag.NoUpdate
            self.selectionModel().setCurrentIndex(at, flag)
        super().keyPressEvent(event)

    def selectionCommand(
        self, index: Index, event: QEvent | None = None
    ) -> QItemSelectionModel.SelectionFlag:
        """A double click on the N:M of one of several selected rows leaves them selected."""
        plain_click = isinstance(event, QMouseEvent) and not event.modifiers()
        if plain_click and index.column() == _PATTERN and self.selectionModel().isSelected(index):
            return QItemSelectionModel.SelectionFlag.NoUpdate
        return super().selectionCommand(index, event)

    def _selected(self) -> list[str]:
        rows = self.selectionModel().selectedRows()
        return [self.table.rows[index.row()].name for index in rows]

    @Slot(object)
    def _edited(self, row: EditedLayer) -> None:
        names = self._selected()
        self.overridden.emit(names if row.name in names else [row.name], row.chosen)


def _describe(edited: EditedLayer) -> str:
    row = edited.layer
    plan, cost = row.plan, row.cost
    says = str(plan.pattern) if plan.pattern else f"dense: {plan.reason}"
    lines = [
        f"{plan.name or 'model'}: {plan.kind} {'×'.join(map(str, plan.shape))}",
        says + (" (its own)" if plan.overridden else ""),
        f"{row.parameters:,} parameters",
        f"{cost.macs:,} multiply-adds an image, {row.share:.2%} of all",
        f"at {cost.positions:,} positions in {cost.calls} call{'s' if cost.calls != 1 else ''}",
    ]
    if plan.pattern:
        lines.insert(2, f"{plan.blocks:,} blocks of {row.combinations:,} combinations")
    if edited.chosen != edited.was:
        lines.append(f"was {edited.was}")
    return "\n".join(lines)


def _short(count: int) -> str:
    """A count in at most five characters: 864, 36.9k, 2.36M."""
    for size, unit in ((1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")):
        if count >= 0.9995 * size:  # what rounds to it is written so
            return f"{count / size:.3g}{unit}"
    return str(count)
