"""The Masks page: the open layer's weights under their mask, and how the mask came to be."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import get_args

from PySide6.QtCore import QSignalBlocker, Qt, Signal, Slot
from PySide6.QtWidgets import QComboBox, QWidget

from lbc.pictures.mask_snapshot import MaskRequest, MaskSnapshot, Show
from lbc_gui.export.snapshot_data import data_name, mask_data
from lbc_gui.export.view_export import Data
from lbc_gui.export.view_renderer import Picture
from lbc_gui.heatmap.heatmap_view import HeatmapView
from lbc_gui.heatmap.key_legend import KeyLegend
from lbc_gui.heatmap.zoom_buttons import ZoomButtons
from lbc_gui.help.explanations import help_button
from lbc_gui.masks.captions import cell_words, input_text, weight_text
from lbc_gui.masks.compare_bar import CompareBar
from lbc_gui.masks.numbers_panel import NumbersPanel
from lbc_gui.run.view_state import LOST, View, ViewState
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import combo_box
from lbc_gui.widgets.layouts import column, row, splitter
from lbc_gui.widgets.panel_title import FoldingPanel
from lbc_gui.widgets.text import Label, LayerTitle

SHOWS: dict[Show, str] = {
    "weights": "weights",
    "sizes": "|weights|",
    "beta": "β of each position",
    "mask": "mask",
    "best": "best combination",
    "magnitude": "against magnitude",
}
"""What can be shown of every method; below it are the pictures that a method has of its own."""
assert (*SHOWS, "method") == get_args(Show)


class MaskView(QWidget):
    """Shows the open layer's mask."""

    request_changed = Signal()
    """What is shown of the layer, or what it is compared with, has changed."""
    hover_text = Signal(str)

    def __init__(self, state: ViewState, runs: Path) -> None:
        super().__init__()
        self._state = state
        self._snapshot: MaskSnapshot | None = None
        self._hovered: tuple[bool, tuple[int, int]] | None = None
        self._input_shown = ("", -1, 0)
        self.show_ = combo_box(
            SHOWS.values(),
            "What the cells show: weights under their mask, their magnitudes, what training has "
            "added to each position's share of the scores, the mask, the best combination of each "
            "block, or where the mask differs from the one that magnitude would choose",
        )
        self.show_.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
        self.show_.setMinimumWidth(100)  # long names of pictures must not widen the page
        self.show_.currentIndexChanged.connect(self.request_changed)
        self.request_changed.connect(self._say_lost)
        self.compare = CompareBar(runs)
        self.compare.changed.connect(self.request_changed)
        self.heatmap = HeatmapView(words=cell_words)
        self.beside = HeatmapView(words=cell_words)
        self.beside.move_with(self.heatmap)
        self.heatmap.setAccessibleName("Mask")
        self.beside.setAccessibleName("Mask compared with")
        for heatmap in (self.heatmap, self.beside):
            heatmap.setAccessibleDescription(
                "Rows are output channels, and each cell is a weight in the colour of its value or "
                "of whether the mask keeps it"
            )
        self.legend = KeyLegend()
        for heatmap in (self.heatmap, self.beside):
            heatmap.hovered.connect(partial(self._hover, heatmap is self.beside))
            heatmap.pinned.connect(state.pin)
            self.legend.lit.connect(heatmap.light)
        self.beside.hide()
        self.heatmap.scale_shown.connect(self.legend.show_key)
        self.numbers = NumbersPanel()
        self.numbers.channel_chosen.connect(self._show_channel)
        self._title = LayerTitle("Loading torch…")
        self.note = Label(wordWrap=True)
        self.note.hide()
        self._lay_out()
        state.revealed.connect(self._reveal)
        state.changed.connect(self._show_view)
        self._show_view(View(), state.view)

    @property
    def request(self) -> MaskRequest | None:
        view = self._state.view.request
        if view is None:
            return None
        at, picture = self.show_.currentIndex(), ""
        show: Show = "method"
        if at < len(SHOWS):
            show = list(SHOWS)[at]
        else:
            picture = self.show_.currentText()
        against, beside = self.compare.against, self.compare.beside
        return MaskRequest(**vars(view), show=show, picture=picture, against=against, beside=beside)

    @Slot(object, object)
    def _show_view(self, before: View, view: View) -> None:
        if view.run != before.run:
            self._clear()
            self._offer(())
        if (view.moments, view.epochs) != (before.moments, before.epochs):
            self.compare.show_moments(view.moments, view.epochs)
        for heatmap in (self.heatmap, self.beside):
            heatmap.show_pins(view.block, view.pinned_blocks)
        self._say_lost()

    @Slot()
    def _say_lost(self) -> None:
        drawn = self._snapshot
        request, epoch = (drawn.request, drawn.epoch) if drawn else (None, 0.0)
        lost = self._state.view.lost(self.request, request, epoch)
        self.heatmap.say(LOST if lost else "")

    @Slot(int)
    def _reveal(self, block: int) -> None:
        if self.isVisible():
            self.heatmap.reveal(block)

    def picture_to_save(self) -> Picture | None:
        snapshot = self._snapshot
        if snapshot is None:
            return None
        layer, epoch, show = snapshot.sheet.layer, snapshot.epoch, snapshot.request.picture
        show = show or SHOWS[snapshot.request.show]
        title = f"{layer or 'model'} · {snapshot.pattern} · epoch {round(epoch, 2):g} · {show}"
        return Picture(f"mask {data_name(layer, epoch)}", title, self.heatmap, (self.legend,))

    def data_to_save(self) -> Data | None:
        return None if self._snapshot is None else mask_data(self._snapshot)

    def _clear(self) -> None:
        self._snapshot = None
        self._input_shown = ("", -1, 0)
        self.heatmap.clear_picture()
        self.beside.clear_picture()
        self.numbers.clear()
        self.compare.clear()
        self._title.clear()
        self.legend.show_kinds(())
        self.hover_text.emit("")

    def show_snapshot(self, snapshot: MaskSnapshot) -> None:
        self._snapshot = snapshot
        if snapshot.pictures:
            self._offer(snapshot.pictures)
        self.heatmap.show_snapshot(snapshot.sheet)
        self.beside.setVisible(snapshot.beside is not None)
        if snapshot.beside is not None:
            self.beside.show_snapshot(snapshot.beside)
        note = ""
        if snapshot.beside is not None:
            note = f" · left epoch {snapshot.epoch:.2f}, right {snapshot.beside.epoch:.2f}"
        self._title.show_layer(snapshot.sheet.layer or "model", note)
        self.note.setText(snapshot.note)
        self.note.setVisible(bool(snapshot.note))
        self.numbers.show_numbers(snapshot.numbers, snapshot.pattern, self.compare.words)
        self._show_hovered()
        self._say_lost()

    def _offer(self, pictures: tuple[str, ...]) -> None:
        """Offer the pictures that the method of the run has, and no others."""
        offered = tuple(map(self.show_.itemText, range(len(SHOWS), self.show_.count())))
        if offered == pictures:
            return
        chosen = self.show_.currentText()
        with QSignalBlocker(self.show_):
            for _ in offered:
                self.show_.removeItem(len(SHOWS))
            self.show_.addItems(list(pictures))
            self.show_.setCurrentText(chosen)
        if self.show_.currentText() != chosen:
            self.request_changed.emit()

    def _hover(self, beside: bool, cell: tuple[int, int] | None) -> None:
        self._hovered = None if cell is None else (beside, cell)
        self._show_hovered()

    def _show_hovered(self) -> None:
        snapshot, hovered = self._snapshot, self._hovered
        if snapshot is None or hovered is None:
            self.hover_text.emit("")
            return
        beside, place = hovered
        sheet = snapshot.beside if beside else snapshot.sheet
        if sheet is None or place[0] >= len(sheet.kept):
            return
        since = None
        if not beside and snapshot.gone is not None:
            since = snapshot.gone.epoch(*place)
        self.hover_text.emit(weight_text(sheet, *place, since))

    @Slot(str, int)
    def _show_channel(self, kind: str, channel: int) -> None:
        """Zoom to the row of an output channel, or to a column of an input channel.

        An input has a column for each kernel position; repeated calls step through them.
        """
        if self._snapshot is None:
            return
        sheet = self._snapshot.sheet
        height, width = sheet.fold.size
        if kind == "o":
            self.heatmap.show_cells(0, channel, width, 1)
            return
        positions = width // sheet.shape[1]
        last = self._input_shown
        at = (last[2] + 1) % positions if last[:2] == (sheet.layer, channel) else 0
        self._input_shown = (sheet.layer, channel, at)
        m = sheet.pattern.m
        self.heatmap.show_cells(at * sheet.shape[1] + channel // m * m, 0, m, height)
        if positions > 1:
            self.hover_text.emit(input_text(sheet.shape, channel, at))

    def _lay_out(self) -> None:
        across, page = Qt.Orientation.Horizontal, QWidget()
        head = row((self._title, 1), self.legend)
        zooms = ZoomButtons(self.heatmap)
        bar = row(self.show_, self.compare.choice, None, zooms, help_button("Masks"))
        pictures = splitter(across, self.heatmap, self.beside, sizes=[1, 1])
        self.below = FoldingPanel("Numbers", self.numbers, 190)
        middle = splitter(Qt.Orientation.Vertical, pictures, self.below, sizes=[380, 190])
        middle.setStretchFactor(0, 1)
        column(head, bar, self.compare, self.note, (middle, 1), on=page)
        self.splitter = splitter(across, page, sizes=[])
        column(self.splitter, on=self, margin=TIGHT)
