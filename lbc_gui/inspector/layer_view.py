"""One layer of the checkpoint: its picture, the weight under the mouse, and its violations."""

from __future__ import annotations

import numpy as np
from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QSizePolicy, QWidget

from lbc_gui.export.view_export import Data
from lbc_gui.export.view_renderer import Picture
from lbc_gui.heatmap.key_legend import KeyLegend
from lbc_gui.heatmap.zoom_buttons import ZoomButtons
from lbc_gui.inspector.captions import title, weight_text
from lbc_gui.inspector.colours import (
    DIFFERENCE_KINDS,
    LEVELS,
    MASK_KINDS,
    WEIGHT_KINDS,
    difference_table,
    mask_table,
    weight_table,
)
from lbc_gui.inspector.data_export import layer_data
from lbc_gui.inspector.reader_thread import LayerPicture
from lbc_gui.inspector.violations_table import ViolationRow, ViolationsTable
from lbc_gui.inspector.weight_view import MOST_MARKS, WeightView
from lbc_gui.widgets.buttons import combo_box
from lbc_gui.widgets.layouts import column, row, splitter
from lbc_gui.widgets.text import Label, breakable, plain

WEIGHTS, MASK, DIFFERENCE = "|weight|", "mask alone", "difference"


class LayerView(QWidget):
    """The right half of the page."""

    hover_text = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.picture: LayerPicture | None = None
        self._hovered: tuple[int, int] | None = None
        self._title = Label(wordWrap=True)
        self._title.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.colour = combo_box((WEIGHTS, MASK), "What the colours mean")
        self.colour.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.colour.currentTextChanged.connect(self._colour_chosen)
        self._alone = WEIGHTS
        """The colours before there was a difference to show."""
        self._legend = KeyLegend()
        self.view = WeightView()
        self.view.hovered.connect(self._hover)
        self.view.clicked.connect(self._clicked)
        self.violations = ViolationsTable()
        self.violations.chosen.connect(self.show_violation)
        self._listed = Label(wordWrap=True)
        self._below = QWidget()
        self._lay_out()

    def show_picture(self, picture: LayerPicture) -> None:
        """Show a layer; the zoom stays if it is the same one, checked against another N:M."""
        before = self.picture
        same = before is not None and before.name == picture.name
        same = same and before is not None and before.codes.shape == picture.codes.shape
        if before is not None and before.pattern != picture.pattern:
            self.view.frame(None)
        self.picture = picture
        said = title(picture)
        self._title.setText(said.replace(picture.name, breakable(picture.name), 1))
        self._title.setToolTip(plain(said))
        self._offer_difference(picture.difference is not None)
        self.violations.show_violations(picture.violations)
        self._show_count(picture)
        self._legend.show()
        self._draw(keep_zoom=same)

    def clear(self, sentence: str = "") -> None:
        """Show no layer: none has been read, or ``sentence`` says why it cannot be shown."""
        self.picture = None
        self.view.clear_picture()
        self.violations.show_violations(None)
        self._below.hide()
        self._legend.hide()
        self._offer_difference(False)
        self._title.setText(sentence)
        self._title.setToolTip(plain(sentence))

    @Slot(object)
    def show_violation(self, row: ViolationRow | None) -> None:
        """Zoom to a violation's block."""
        if row is not None and self.picture is not None:
            m = len(row.members)
            output, group = divmod(row.block, self.picture.codes.shape[1] // m)
            self.view.zoom_to(output, group * m, m)

    def picture_to_save(self) -> Picture | None:
        if self.picture is None:
            return None
        said = f"{title(self.picture)} · {self.colour.currentText()}"
        return Picture(f"mask {self.picture.name}", said, self.view, (self._legend,))

    def data_to_save(self) -> Data | None:
        return None if self.picture is None else layer_data(self.picture)

    def _offer_difference(self, offered: bool) -> None:
        at = self.colour.findText(DIFFERENCE)
        if offered and at < 0:
            self._alone = self.colour.currentText()
            self.colour.addItem(DIFFERENCE)
            self.colour.setCurrentText(DIFFERENCE)
        elif not offered and at >= 0:
            if self.colour.currentText() == DIFFERENCE:
                self.colour.setCurrentText(self._alone)
            self.colour.removeItem(at)

    def _draw(self, keep_zoom: bool) -> None:
        picture = self.picture
        if picture is None:
            return
        rows = columns = np.zeros(0, dtype=np.int64)
        codes, colour = picture.codes, self.colour.currentText()
        if colour == DIFFERENCE and picture.difference is not None:
            codes, table = picture.difference, difference_table()
            ends = "|Δ| 0", f"{picture.difference_top:.3g}"
            self._legend.show_kinds(DIFFERENCE_KINDS, ends, table, LEVELS)
        else:
            if colour == WEIGHTS:
                table, ends = weight_table(), ("|w| 0", f"{picture.top:.3g}")
                self._legend.show_kinds(WEIGHT_KINDS, ends, table, LEVELS)
            else:
                table = mask_table()
                self._legend.show_kinds(MASK_KINDS)
            if picture.violations is not None and len(picture.violations) <= MOST_MARKS:
                m = picture.violations.pattern.m
                rows, groups = np.divmod(picture.violations.blocks, codes.shape[1] // m)
                columns = groups * m + m // 2
        fits = picture.pattern is not None and picture.shape[1] % picture.pattern.m == 0
        m = picture.pattern.m if fits and picture.pattern is not None else 0
        self.view.show_codes(codes, table, m, keep_zoom)
        self.view.show_marks(rows, columns)

    def _show_count(self, picture: LayerPicture) -> None:
        found = picture.violations
        self._below.setVisible(found is not None and found.count > 0)
        if found is not None and found.count:
            of = picture.codes.size // found.pattern.m
            blocks = "blocks keeps" if found.count == 1 else "blocks keep"
            text = f"{found.count:,} of {of:,} {blocks} more than {found.pattern.limit}"
            text += f"; the first {len(found):,} are listed" if len(found) < found.count else ""
            self._listed.setText(f"{text}. Choose one to zoom to it.")

    @Slot(str)
    def _colour_chosen(self, _text: str) -> None:
        self._draw(keep_zoom=True)

    @Slot(object)
    def _hover(self, cell: tuple[int, int] | None) -> None:
        self._hovered = cell
        known = self.picture is not None and cell is not None
        text = weight_text(self.picture, *cell) if known and self.picture and cell else ""
        self.hover_text.emit(text)

    @Slot(object)
    def _clicked(self, cell: tuple[int, int]) -> None:
        if self.picture is None or self.picture.pattern is None:
            return
        m, (row, column) = self.picture.pattern.m, cell
        if self.picture.shape[1] % m == 0:
            self.view.frame((row, column // m * m, m))

    def _lay_out(self) -> None:
        above = QWidget()
        head = row((self._title, 1), ZoomButtons(self.view))
        column(head, row(self.colour, (self._legend, 1)), (self.view, 1), on=above)
        column(self._listed, (self.violations, 1), on=self._below)
        self._below.hide()
        parts = splitter(Qt.Orientation.Vertical, above, self._below, sizes=[380, 160])
        parts.setStretchFactor(0, 1)
        column(parts, on=self)
