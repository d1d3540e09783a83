"""The Inspect page: a checkpoint's layers at the left, the chosen one's mask and violations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtWidgets import QFileDialog, QStackedWidget, QWidget

from lbc.inspection.checkpoint import SUFFIXES
from lbc.sparsity.pattern import Pattern
from lbc_gui.inspector.empty_page import EmptyPage
from lbc_gui.inspector.header import Header
from lbc_gui.inspector.layer_view import LayerView
from lbc_gui.inspector.layers_panel import LayersPanel
from lbc_gui.inspector.layers_table import LayerRow, LayersModel
from lbc_gui.inspector.open_checkpoint import CheckpointReader
from lbc_gui.inspector.reader_thread import (
    LayerPicture,
    LayerRequest,
    Listed,
    Opening,
    TensorRead,
)
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.layouts import column, splitter

FILES = f"Checkpoints ({' '.join('*' + suffix for suffix in SUFFIXES)});;All files (*)"


class InspectorPage(QWidget):
    """Opens checkpoints of any origin and shows which N:M their zeros obey."""

    said = Signal(str)
    """A sentence for the log."""
    failed = Signal(str, str)
    """A sentence for the message bar, and details."""
    hover_text = Signal(str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.reading = CheckpointReader(self)
        self.head = Header()
        self.layers = LayersModel(self)
        self.panel = LayersPanel(self.layers)
        self.layer = LayerView()
        self._name = ""
        self._stated: Mapping[str, str] = {}
        self._done = self._weights = 0
        self._settled = False
        """Whether the user, or a broken layer, has decided which layer is shown."""
        self._empty_page = EmptyPage()
        self._stack = QStackedWidget()
        self._lay_out()
        self._connect()

    @property
    def shown_layer(self) -> str:
        """The name of the layer on screen; "" if there is none."""
        return self._name

    @property
    def stated_pattern(self) -> str:
        """The N:M of most layers, as the file states it. Raises ValueError if it states none."""
        if not self._stated:
            raise ValueError("The file does not say which N:M its layers have.")
        return Counter(self._stated.values()).most_common(1)[0][0]

    # -- commands -------------------------------------------------------------------------------

    def open(self, paths: Sequence[Path], layers: Sequence[str] = ()) -> None:
        """Read the first of the files; with a second one, compare the two.

        With ``layers``, the layer on screen stays if it is one of them; else the first is shown.
        """
        if layers and self._name not in layers:
            self._name = layers[0]
        if paths:
            against = paths[1] if len(paths) > 1 else None
            self._read(Opening(paths[0], against), keep_layer=bool(layers))

    def compare_with(self, path: Path | None) -> None:
        """Compare the open checkpoint with another one; None ends the comparison."""
        if self.reading.opening is not None:
            self._read(Opening(self.reading.opening.file, path), keep_layer=True)

    @Slot()
    def choose_file(self) -> None:
        name, _ = QFileDialog.getOpenFileName(self, "Inspect a checkpoint", self._folder(), FILES)
        if name:
            self.open([Path(name)])

    @Slot()
    def choose_other(self) -> None:
        name, _ = QFileDialog.getOpenFileName(
            self, "Compare with another checkpoint", self._folder(), FILES
        )
        if name:
            self.compare_with(Path(name))

    def _folder(self) -> str:
        return str(self.reading.opening.file.parent) if self.reading.opening else ""

    def _read(self, opening: Opening, keep_layer: bool) -> None:
        pattern = self.head.pattern
        more = (pattern,) if pattern else ()
        first = LayerRequest(self._name if keep_layer else "", pattern)
        self._done = self._weights = 0
        self.head.show_progress(0, 0)
        self.reading.open(Opening(opening.file, opening.against, more), first)

    @Slot()
    def _stop_comparing(self) -> None:
        self.compare_with(None)

    @Slot(object)
    def _layer_chosen(self, row: LayerRow | None) -> None:
        if row is not None:
            self._settled = True
            self._show(row)

    def _show(self, row: LayerRow) -> None:
        self._name = row.name
        if row.unjudged:
            self.layer.clear(f"{row.name} is not judged: {row.unjudged}.")
        else:
            self.reading.look(LayerRequest(row.name, self.head.pattern))

    @Slot(object)
    def _pattern_chosen(self, pattern: Pattern | None) -> None:
        opening = self.reading.opening
        if opening is None:
            return
        self.layers.check_against(pattern)
        if pattern is not None and not self.layers.counted(pattern):
            self._read(opening, keep_layer=True)
        else:
            self.panel.show_summary(pattern)
            self._show(self.layers.rows[self.layers.row_of(self._name) or 0])

    # -- what arrives ---------------------------------------------------------------------------

    @Slot(object)
    def _add(self, events: Sequence[object]) -> None:
        for event in events:
            match event:
                case Listed():
                    self._begin(event)
                case TensorRead():
                    self._fill(event)
                case LayerPicture() if event.request.name in ("", self._name):
                    self._name = event.name
                    self.panel.table.choose(event.name)
                    self.layer.show_picture(event)
        if self._weights:
            self.head.show_progress(self._done, self._weights)

    def _fill(self, read: TensorRead) -> None:
        row = self.layers.fill(read)
        self._done += row.stored.weights
        if read.problem:
            opening = self.reading.opening
            where = f"{opening.file}: " if opening else ""
            self.failed.emit(f"{where}{read.name} is not judged: {read.problem}.", "")
        if row.broken and not self._settled:  # the first one with something to look at
            self._settled = True
            self.panel.table.choose(row.name)
            self._show(row)

    def _begin(self, listed: Listed) -> None:
        self._weights = listed.weights
        self._stack.setCurrentIndex(1)
        pruned = listed.metadata.pruned
        self.layers.show_tensors(listed.tensors, pruned.errors if pruned else {})
        self.layers.check_against(self.head.pattern)
        self.panel.show_comparison(listed.opening.against is not None, pruned is not None)
        self.head.show_opening(listed.opening, pruned)
        self._stated = listed.metadata.layers
        self._settled = self._name in {at.name for at in listed.tensors}
        names = [at.name for at in listed.tensors]
        if self._name not in names:
            self._name = names[0]
            self.layer.clear()
        other = f" and {listed.opening.against}" if listed.opening.against else ""
        noun = "tensors" if other else "layers"
        self.said.emit(f"Inspecting {listed.opening.file}{other}: {len(names)} {noun}.")

    @Slot(bool)
    def _running_changed(self, running: bool) -> None:
        self.head.show_running(running and self.reading.surveying)
        if not running and self.reading.opening is not None:
            self.panel.show_summary(self.head.pattern)

    # -- construction ---------------------------------------------------------------------------

    def _connect(self) -> None:
        self.reading.arrived.connect(self._add)
        self.reading.failed.connect(self.failed)
        self.reading.running_changed.connect(self._running_changed)
        self.head.open_asked.connect(self.choose_file)
        self.head.compare_asked.connect(self.choose_other)
        self.head.alone_asked.connect(self._stop_comparing)
        self.head.cancel_asked.connect(self.reading.cancel)
        self.head.pattern_chosen.connect(self._pattern_chosen)
        self.head.failed.connect(self.failed)
        self._empty_page.open_asked.connect(self.choose_file)
        self.panel.table.chosen.connect(self._layer_chosen)
        self.layer.hover_text.connect(self.hover_text)

    def _lay_out(self) -> None:
        across = Qt.Orientation.Horizontal
        middle = splitter(across, self.panel, self.layer, sizes=[544, 416])
        middle.setStretchFactor(1, 1)
        self._stack.addWidget(self._empty_page)
        self._stack.addWidget(middle)
        column(self.head, (self._stack, 1), on=self, margin=TIGHT)
