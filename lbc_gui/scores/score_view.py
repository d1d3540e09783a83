"""The Scores page: layers on the left, the open layer's heatmap, what the mouse is over."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import (
    QHBoxLayout,
    QLabel,
    QListWidget,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from lbc.training.events import LayerInfo
from lbc_gui.drawing import Snapshot, ViewRequest
from lbc_gui.painting import Picture
from lbc_gui.saving import Data
from lbc_gui.scores.heatmap_view import HeatmapView
from lbc_gui.scores.layer_list import LayerList
from lbc_gui.scores.legend import Legend
from lbc_gui.scores.look_bar import COLOURS, LookBar
from lbc_gui.scores.numbers import layer_data
from lbc_gui.scores.wording import glyphs, members_of, place, score_text


class ScoreView(QWidget):
    """Shows one layer at a time and says which one, how, and which block is pinned."""

    request_changed = Signal(object)
    """ViewRequest."""
    hover_text = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._snapshot: Snapshot | None = None
        self._hovered: tuple[int, int] | None = None
        self._pinned: int | None = None
        self._moment: int | None = None
        self._infos: tuple[LayerInfo, ...] = ()
        self.list = LayerList()
        self.list.chosen.connect(self._layer_chosen)
        self.look = LookBar()
        self.look.changed.connect(self._ask)
        self.heatmap = HeatmapView()
        self.heatmap.hovered.connect(self._hover)
        self.heatmap.pinned.connect(self.pin)
        self._legend = Legend()
        self.heatmap.scale_shown.connect(self._legend.show_scale)
        self._title = QLabel("The scores appear here as soon as torch and the data are loaded.")
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
            self._infos = layers
            self.list.show_layers(layers)
        self._ask()

    @Slot(object)
    def travel(self, moment: int | None) -> None:
        """Show another moment of the run, or None for now."""
        self._moment = moment
        self._ask()

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
        self.look.show_scale(snapshot.cells.scale)
        per_block = "positions" if snapshot.by_position else "combinations"
        title = f"<b>{snapshot.request.layer or 'model'}</b>"
        if snapshot.scores_epoch is not None and snapshot.scores_epoch != snapshot.epoch:
            title += f" · scores of epoch {snapshot.scores_epoch:.2f}"
        self._title.setText(title)
        self._title.setToolTip(
            f"{snapshot.fold.blocks:,} blocks of {snapshot.fold.cells} {per_block}"
        )
        self.list.show_states(snapshot.layers)
        self._say_hovered()

    @Slot(int)
    def pin(self, block: int | None) -> None:
        """Pin a block of the open layer, or None."""
        self._pinned = block
        self.heatmap.show_pin(block)
        self._ask()

    @Slot()
    def _layer_chosen(self) -> None:
        self._pinned = None
        self.heatmap.show_pin(None)
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
        said = score_text(snapshot.scores[block], member)
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
        for button in self._zoom_buttons():
            bar.addWidget(button)
        page = QWidget()
        column = QVBoxLayout(page)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(head)
        column.addLayout(bar)
        column.addWidget(self.heatmap, 1)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(self.list)
        splitter.addWidget(page)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([172, 524])
        splitter.setChildrenCollapsible(False)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 4, 4, 4)
        layout.addWidget(splitter)

    def _zoom_buttons(self) -> list[QToolButton]:
        buttons = []
        for text, tip, slot in (
            ("◀", "The view before (Backspace)", self.heatmap.zooms.back),
            ("▶", "The view gone back from", self.heatmap.zooms.forward),
            ("Fit", "Show the whole layer (Home, or double-click the picture)", self.heatmap.fit),
        ):
            button = QToolButton()
            button.setText(text)
            button.setToolTip(tip)
            button.clicked.connect(slot)
            buttons.append(button)
        self._back, self._forward, _ = buttons
        self.heatmap.zooms.changed.connect(self._enable_zooms)
        self._enable_zooms()
        return buttons

    @Slot()
    def _enable_zooms(self) -> None:
        self._back.setEnabled(self.heatmap.zooms.can_go_back)
        self._forward.setEnabled(self.heatmap.zooms.can_go_forward)
