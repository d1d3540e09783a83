"""The biography of the pinned block: scores over time, every removal, the winner; to be saved."""

from __future__ import annotations

from pathlib import PurePath

import numpy as np
import numpy.typing as npt
from PySide6.QtCore import Qt, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QToolButton, QWidget

from lbc.files.printable import printable
from lbc.pictures.glyphs import squares
from lbc.pictures.moment_copier import Pin, PinnedWeights
from lbc.runs.block_history import Biography, Life, ParentLife
from lbc.sparsity.arrays import Floats
from lbc_gui.block.life_plot import LifePlot, Quantity
from lbc_gui.block.removals_table import RemovalRow, RemovalsTable
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import combo_box, tool_button
from lbc_gui.widgets.layouts import column, row, splitter
from lbc_gui.widgets.text import HtmlLabel, Label, html

QUANTITIES: dict[Quantity, str] = {
    "behind": "Score behind the best",
    "score": "Score",
    "beta": "β of each position",
    "weight": "Weights since pinned",
}

MOST_WEIGHTS = 4000
"""The most moments of a block's weights that are kept; beyond it every second one is dropped."""

UNSEEN = "No weights to show: they are seen only while this block is pinned and its run trains."

Times = npt.NDArray[np.float64]

_NONE: tuple[Times, Floats] = (np.empty(0), np.empty((0, 0), np.float32))


class LifeView(QWidget):
    """Shows the history of one block; what arrives for another is ignored."""

    def __init__(self) -> None:
        super().__init__()
        self.life: Life | None = None
        """The biography on screen, up to the present."""
        self._arrived: Life | None = None
        self._pin: Pin | None = None
        self._seen: dict[Pin, tuple[list[float], list[Floats]]] = {}
        self.plot = LifePlot()
        self.quantity = combo_box(QUANTITIES.values(), "What is plotted over the epochs")
        self.quantity.currentIndexChanged.connect(self._quantity_chosen)
        self.save = tool_button("Save", "Save the history of this block or of all pinned ones")
        self.save.setPopupMode(QToolButton.ToolButtonPopupMode.InstantPopup)
        self.save_this = QAction("&This block…", self)
        self.save_all = QAction("&All pinned blocks…", self)
        self.save.addActions([self.save_this, self.save_all])
        self.summary = HtmlLabel(wordWrap=True)
        self.unseen = Label(UNSEEN, wordWrap=True)
        self.unseen.hide()
        self.removals = RemovalsTable()
        self.removals.chosen.connect(self._row_chosen)
        plots = splitter(Qt.Orientation.Vertical, self.plot, self.removals, sizes=[190, 150])
        parts = (row((self.quantity, 1), self.save), self.summary, self.unseen, (plots, 1))
        column(*parts, on=self).setContentsMargins(0, TIGHT, 0, 0)
        self._show_pin(None)

    def forget(self) -> None:
        """Discard what is known of the run before."""
        self._seen, self._arrived = {}, None
        self._show_pin(None)

    def show_block(self, pin: Pin | None) -> None:
        if pin != self._pin:
            self._show_pin(pin)

    def show_life(self, life: Life) -> None:
        """Show a biography, at once or as soon as its block is shown."""
        self._arrived = life
        if Pin(life.layer, life.block) != self._pin:
            return
        self.life = life
        self.removals.show_life(life.biography)
        self.removals.setVisible(life.biography.live is not None)
        self.plot.show_life(life.biography, life.other)
        self.summary.setText(_summary(life.biography) + _parents_summary(life.other))
        self.save.setEnabled(True)

    @Slot(object)
    def add_weights(self, seen: PinnedWeights) -> None:
        """Keep the weights of every pinned block."""
        for pin, weights in seen.weights.items():
            epochs, kept = self._seen.setdefault(pin, ([], []))
            if epochs and epochs[-1] >= seen.epoch:
                continue
            epochs.append(seen.epoch)
            kept.append(weights)
            if len(epochs) > MOST_WEIGHTS:
                del epochs[::2], kept[::2]
        if self.plot.quantity == "weight":
            self._show_weights()

    def seen(self, pin: Pin) -> tuple[Times, Floats]:
        """Epochs (T,) at which a block's weights were seen since it was pinned, and (T, M)."""
        if pin not in self._seen:
            return _NONE
        epochs, weights = self._seen[pin]
        return np.array(epochs), np.stack(weights)

    @Slot(int)
    def _quantity_chosen(self, row: int) -> None:
        self._show_weights()
        self.plot.show_quantity(list(QUANTITIES)[row])

    def _show_pin(self, pin: Pin | None) -> None:
        self._pin, self.life = pin, None
        self.removals.show_life(None)
        self.plot.show_life(None)
        self._show_weights()
        self.summary.setText("" if pin is None else "Reading the history of this block…")
        self.save.setEnabled(False)
        if self._arrived is not None:
            self.show_life(self._arrived)

    def _show_weights(self) -> None:
        epochs, weights = _NONE if self._pin is None else self.seen(self._pin)
        self.plot.show_weights(epochs, weights)
        of_weights = list(QUANTITIES)[self.quantity.currentIndex()] == "weight"
        self.unseen.setVisible(of_weights and self._pin is not None and not len(epochs))

    @Slot(object)
    def _row_chosen(self, row: RemovalRow | None) -> None:
        self.plot.mark(None if row is None else row.combination)


def _parents_summary(other: ParentLife | None) -> str:
    """What became of the block in the parent of a fork, a line more; empty without one."""
    if other is None:
        return ""
    name = printable(PurePath(other.parent.folder).name)
    forked = "<br>Dashed: its future in {}, from which this run was forked at epoch {}. "
    return html(forked, name, f"{other.parent.epoch:.2f}") + _summary(other.biography)


def _summary(life: Biography) -> str:
    winner = int(life.winners[-1])
    changed = (life.winners != winner).nonzero()[0]
    since = float(life.epochs[changed[-1] + 1 if len(changed) else 0])
    held = squares(life.pattern, winner)
    if life.live is not None and int(life.live[-1].sum()) == 1:
        last = life.removals[-1] if life.removals else None
        if last is not None and last.cause == "pin":
            return html("<b>{}</b> was pinned at epoch {:.2f}.", held, last.epoch)
        won = last.epoch if last else 0.0
        return html("<b>{}</b> won at epoch {:.2f}, and led since {:.2f}.", held, won, since)
    return html("<b>{}</b> leads since epoch {:.2f}.", held, since)
