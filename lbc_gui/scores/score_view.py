"""The Scores page: layers on the left, the open layer's heatmap, what the mouse is over."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidget,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from lbc.pictures.glyphs import glyphs, members_of
from lbc.pictures.score_snapshot import Snapshot, ViewRequest
from lbc.runs.events import LayerInfo
from lbc_gui.captions import gone_text, place, score_text
from lbc_gui.export.score_data import layer_data
from lbc_gui.export.view_export import Data
from lbc_gui.export.view_renderer import Picture
from lbc_gui.heatmap.heatmap_view import HeatmapView
from lbc_gui.heatmap.key_legend import KeyLegend
from lbc_gui.heatmap.layer_list import LayerList, place_list
from lbc_gui.heatmap.zoom_buttons import ZoomButtons
from lbc_gui.run.pinned_weights import Pin
from lbc_gui.scores.look_bar import COLOURS, LookBar


class ScoreView(QWidget):
    """Shows one layer at a time and says which one, how, and which block is pinned."""

    request_changed = Signal(object)
    """ViewRequest."""
    hover_text = Signal(str)
    picked = Signal(object, bool)
    """Pin, and whether it is to stand beside those there are."""
    left = Signal()
    """No block is pinned any more: another layer was opened."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._snapshot: Snapshot | None = None
        self._hovered: tuple[int, int] | None = None
        self._pinned: int | None = None
        self._pins: tuple[Pin, ...] = ()
        self._moment: int | None = None
        self._infos: tuple[LayerInfo, ...] = ()
        self.list = LayerList()
        self.list.chosen.connect(self._layer_chosen)
        self.look = LookBar()
        self.look.changed.connect(self._ask)
        self.heatmap = HeatmapView()
        self.heatmap.hovered.connect(self._hover)
        self.heatmap.pinned.connect(self.pin)
        self._legend = KeyLegend()
        self.heatmap.scale_shown.connect(self._legend.show_key)
        self._title = QLabel("Scores follow: torch is loading…")
        self._title.setMinimumWidth(1)
        self._lay_out()

    @property
    def request(self) -> ViewRequest | None:
        name = self.list.open_layer
        return (
            None if name is None else ViewRequest(name, self.look.look, self._pinned, self._moment)
        )

    @property
    def layers(self) -> QListWidget:
        return self.list.layers

    def show_layers(self, layers: tuple[LayerInfo, ...]) -> None:
        """List the layers of a new run; the one that was open stays open where it is there."""
        if layers != self._infos:
            self._pinned = None
            self.left.emit()
            self._infos = layers
            self.list.show_layers(layers)
        self._ask()

    @Slot(object)
    def travel(self, moment: int | None) -> None:
        """Show another moment of the run, or None for now."""
        self._moment = moment
        self._ask()

    def adopt(self, layers: LayerList) -> None:
        """Take the list of layers, which the pages share, from the page that was open before."""
        place_list(self._splitter, layers)

    def clear(self) -> None:
        """A new run begins."""
        self._snapshot = self._moment = None
        self.heatmap.clear_picture()
        self.hover_text.emit("")

    def show_snapshot(self, snapshot: Snapshot) -> None:
        if snapshot.request != self.request:
            return
        self._snapshot = snapshot
        self.heatmap.show_snapshot(snapshot)
        self.heatmap.show_pin(snapshot.request.block)
        self.look.show_key(snapshot.cells.scale)
        per_block = "positions" if snapshot.by_position else "combinations"
        title = f"<b>{snapshot.request.layer or 'model'}</b>"
        if snapshot.scores_epoch is not None and snapshot.scores_epoch != snapshot.epoch:
            title += f" · scores of epoch {snapshot.scores_epoch:.2f}"
        if snapshot.decided:
            title += " · winners"
        self._title.setText(title)
        self._title.setToolTip(
            f"{snapshot.fold.blocks:,} blocks of {snapshot.fold.cells} {per_block}"
        )
        self.list.show_states(snapshot.layers)
        self._say_hovered()

    @Slot(int, bool)
    def pin(self, block: int | None, beside: bool = False) -> None:
        """Pin a block of the open layer, or None; with ``beside`` what was pinned is kept."""
        self._pinned = block
        self.heatmap.show_pin(block)
        layer = self.list.open_layer
        if block is not None and layer is not None:
            self.picked.emit(Pin(layer, block), beside)
        self._ask()

    @Slot(object)
    def go_to(self, pin: Pin | None) -> None:
        """Open a pin's layer and bring its block into view; None takes the frame away."""
        if pin is None:
            self.pin(None)
            return
        rows = [self.layers.item(row) for row in range(self.layers.count())]
        for item in rows:
            if item.data(Qt.ItemDataRole.UserRole) == pin.layer:
                self.layers.setCurrentItem(item)
        if self.list.open_layer == pin.layer:
            self.pin(pin.block)
            self.heatmap.reveal(pin.block)

    @Slot(object)
    def show_pins(self, pins: Sequence[Pin]) -> None:
        """Frame everything that is pinned in the open layer."""
        self._pins = tuple(pins)
        layer = self.list.open_layer
        self.heatmap.show_others([pin.block for pin in self._pins if pin.layer == layer])

    @Slot()
    def _layer_chosen(self) -> None:
        self._pinned = None
        self.heatmap.show_pin(None)
        self.show_pins(self._pins)
        self.left.emit()
        self._ask()

    @Slot()
    def _ask(self, _index: int = 0) -> None:
        if self.request is not None:
            self.request_changed.emit(self.request)

    @Slot(object)
    def _hover(self, cell: tuple[int, int] | None) -> None:
        self._hovered = cell
        self._say_hovered()

    def _say_hovered(self) -> None:
        snapshot, cell = self._snapshot, self._hovered
        if snapshot is None or cell is None:
            self.hover_text.emit("")
            return
        block, member = cell
        if block >= len(snapshot.scores):
            return
        where = place(snapshot.shape, snapshot.pattern, block)
        if snapshot.by_position:
            what = f"position {member}"
        else:
            what = glyphs(members_of(snapshot.pattern, member), snapshot.pattern.m)
        if snapshot.scores[block, member] > -np.inf:
            said = score_text(snapshot.scores[block], member)
        else:
            said = gone_text(snapshot.gone, block, member)
        self.hover_text.emit(f"block {block} · {where} · {what} · {said}")

    def picture_to_save(self) -> Picture | None:
        snapshot = self._snapshot
        if snapshot is None:
            return None
        layer, epoch = snapshot.request.layer or "model", f"{round(snapshot.epoch, 2):g}"
        colour = COLOURS[snapshot.request.look.colour]
        title = f"{layer} · {snapshot.pattern} · epoch {epoch} · {colour}"
        name = f"scores {layer} epoch {epoch}"
        return Picture(name, title, self.heatmap, (self._legend,))

    def data_to_save(self) -> Data | None:
        return None if self._snapshot is None else layer_data(self._snapshot)

    def _lay_out(self) -> None:
        head = QHBoxLayout()
        head.addWidget(self._title, 1)
        head.addWidget(self._legend)
        bar = QHBoxLayout()
        bar.addWidget(self.look, 1)
        bar.addWidget(ZoomButtons(self.heatmap))
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(head)
        column.addLayout(bar)
        column.addWidget(self.heatmap, 1)
        self._splitter = QSplitter(Qt.Orientation.Horizontal)
        self._splitter.addWidget(page)
        self._splitter.setChildrenCollapsible(False)
        self.adopt(self.list)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(self._splitter)
