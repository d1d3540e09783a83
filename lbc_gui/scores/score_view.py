"""The Scores page: layers on the left, the open layer's heatmap, the cell under the mouse."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QWidget

from lbc.pictures.score_snapshot import Snapshot, ViewRequest
from lbc_gui.captions import gone_text, place, score_text
from lbc_gui.export.snapshot_data import data_name, layer_data
from lbc_gui.export.view_export import Data
from lbc_gui.export.view_renderer import Picture
from lbc_gui.heatmap.cell_labels import score_words
from lbc_gui.heatmap.heatmap_view import HeatmapView
from lbc_gui.heatmap.key_legend import KeyLegend
from lbc_gui.heatmap.layer_list import LayerList
from lbc_gui.heatmap.zoom_buttons import ZoomButtons
from lbc_gui.help.explanations import help_button
from lbc_gui.run.view_state import LOST, View, ViewState
from lbc_gui.scores.look_bar import COLOURS, LookBar
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.layouts import column, row, splitter
from lbc_gui.widgets.text import LayerTitle, plain


class ScoreView(QWidget):
    """Shows the open layer's scores."""

    hover_text = Signal(str)

    def __init__(self, state: ViewState) -> None:
        super().__init__()
        self._state = state
        self._snapshot: Snapshot | None = None
        self._hovered: tuple[int, int] | None = None
        self.list = LayerList()
        self.list.chosen.connect(state.open_layer)
        self.look = LookBar(state)
        self.heatmap = HeatmapView()
        self.heatmap.hovered.connect(self._hover)
        self.heatmap.pinned.connect(state.pin)
        state.revealed.connect(self.heatmap.reveal)
        state.changed.connect(self._show_view)
        self._legend = KeyLegend()
        self.heatmap.scale_shown.connect(self._legend.show_key)
        self._legend.lit.connect(self.heatmap.light)
        self._title = LayerTitle("Loading torch…")
        self._lay_out()

    @property
    def request(self) -> ViewRequest | None:
        return self._state.view.request

    @Slot(object, object)
    def _show_view(self, before: View, view: View) -> None:
        if view.run != before.run:
            self._snapshot = None
            self.heatmap.clear_picture()
            self._title.clear()
            self._legend.show_kinds(())
            self.list.clear_states()
            self.hover_text.emit("")
        if view.layers != before.layers:
            self.list.show_layers(view.layers)
        self.list.show_open(view.layer)
        self.heatmap.show_pins(view.block, view.pinned_blocks)
        self._say_lost()

    def _say_lost(self) -> None:
        drawn = self._snapshot
        request, epoch = (drawn.request, drawn.epoch) if drawn else (None, 0.0)
        self.heatmap.say(LOST if self._state.view.lost(self.request, request, epoch) else "")

    def show_snapshot(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self.heatmap.show_snapshot(snapshot)
        self.look.show_key(snapshot.cells.scale)
        per_block = "positions" if snapshot.by_position else "combinations"
        note = ""
        if snapshot.scores_epoch is not None and snapshot.scores_epoch != snapshot.epoch:
            # Over ssh the colours are of the present, and few values travel.
            what = "hovered scores" if snapshot.request.moment is None else "scores"
            note = f" · {what} of epoch {snapshot.scores_epoch:.2f}"
        if snapshot.decided:
            note += " · winners"
        self._title.show_layer(snapshot.request.layer or "model", note)
        self._title.setToolTip(
            plain(f"{snapshot.fold.blocks:,} blocks of {snapshot.fold.cells} {per_block}")
        )
        self._show_hovered()
        self._say_lost()

    @Slot(object)
    def _hover(self, cell: tuple[int, int] | None) -> None:
        self._hovered = cell
        self._show_hovered()

    def _show_hovered(self) -> None:
        snapshot, cell = self._snapshot, self._hovered
        if snapshot is None or cell is None:
            self.hover_text.emit("")
            return
        block, member = cell
        if block >= len(snapshot.scores):
            return
        where = place(snapshot.shape, snapshot.pattern, block)
        what, _ = score_words(snapshot, block, member)
        if snapshot.scores[block, member] > -np.inf:
            said = score_text(snapshot.scores[block], member)
        else:
            said = gone_text(snapshot.gone, block, member)
        self.hover_text.emit(f"block {block} · {where} · {what} · {said}")

    def picture_to_save(self) -> Picture | None:
        snapshot = self._snapshot
        if snapshot is None:
            return None
        layer, epoch = snapshot.request.layer, snapshot.epoch
        colour = COLOURS[snapshot.request.look.colour]
        title = f"{layer or 'model'} · {snapshot.pattern} · epoch {round(epoch, 2):g} · {colour}"
        return Picture(f"scores {data_name(layer, epoch)}", title, self.heatmap, (self._legend,))

    def data_to_save(self) -> Data | None:
        return None if self._snapshot is None else layer_data(self._snapshot)

    def _lay_out(self) -> None:
        page = QWidget()
        head = row((self._title, 1), self._legend)
        bar = row((self.look, 1), ZoomButtons(self.heatmap), help_button("Scores"))
        column(head, bar, (self.heatmap, 1), on=page)
        self.splitter = splitter(Qt.Orientation.Horizontal, page, sizes=[])
        self.list.move_to(self.splitter)
        column(self.splitter, on=self, margin=TIGHT)
