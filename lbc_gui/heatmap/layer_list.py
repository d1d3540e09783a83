"""The sparse layers, each with a live thumbnail: find, sort, open."""

from __future__ import annotations

from collections.abc import Iterable

from PySide6.QtCore import QSignalBlocker, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QIcon, QPixmap
from PySide6.QtWidgets import QLineEdit, QListWidget, QListWidgetItem, QSplitter, QWidget

from lbc.pictures.score_snapshot import Thumbnail
from lbc.runs.epoch_flips import EpochFlips
from lbc.runs.events import LayerInfo
from lbc.runs.layer_moment import LayerState
from lbc_gui.heatmap.rgb_image import rgb_image
from lbc_gui.widgets.buttons import combo_box
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.text import plain

THUMBNAIL = QSize(44, 44)
ROW_HEIGHT = 54
WIDTH = 172

ORDERS = ("network order", "name", "size", "density", "live", "flips")
_FEWEST_TO_FIND = 6
"""With fewer layers there is no need to search or sort."""


class _Entry(QListWidgetItem):
    """One layer; ``key`` decides its place."""

    def __init__(self, place: int, info: LayerInfo) -> None:
        super().__init__()
        self.place = place
        self.info = info
        self.state: LayerState | None = None
        self.flips: float | None = None
        self.interval = ""
        self.key: tuple[float | str, int] = (0.0, place)
        self.setSizeHint(QSize(0, ROW_HEIGHT))
        self.describe()

    def __lt__(self, other: object) -> bool:
        assert isinstance(other, _Entry)
        return self.key < other.key

    def order_by(self, order: str) -> None:
        state = self.state
        first: dict[str, float | str] = {
            "name": self.info.name,
            "size": -self.info.blocks * self.info.pattern.m,
            "density": state.density or 1.0 if state else 1.0,
            "live": -state.live if state else -self.info.pattern.count,
            "flips": -(self.flips or 0.0),
        }
        self.key = (first.get(order, 0.0), self.place)

    def describe(self) -> None:
        info, state = self.info, self.state
        name, under = info.name or "model", str(info.pattern)
        shares = []
        tip = f"{name}: {info.pattern}, {info.blocks:,} blocks"
        if state is not None:
            live = "decided" if state.live == 1 else f"{state.live:,} live"
            under += f" · {live}"
            if state.density is not None:
                shares.append(f"{state.density:.0%}")
            tip += f", {state.live:,} of {info.pattern.count:,} combinations live in each block"
        if self.flips is not None:
            tip += f"; {self.flips:.1%} of the blocks changed their best combination "
            tip += self.interval
            if self.flips >= 0.005:
                shares.append(f"{self.flips:.0%} flip")
        text = f"{name}\n{under}\n{' · '.join(shares)}"
        if text != self.text():
            self.setText(text)
        self.setToolTip(plain(tip))


class LayerList(QWidget):
    """Lists the layers of a run; the open one is selected."""

    chosen = Signal(str)
    """Name of the layer to open."""
    in_view_changed = Signal(object)
    """Names of the layers whose thumbnails are needed."""

    def __init__(self) -> None:
        super().__init__()
        self._states: tuple[LayerState, ...] = ()
        self.search = QLineEdit(placeholderText="Find a layer", clearButtonEnabled=True)
        self.search.textChanged.connect(self._filter)
        tip = (
            "Order of the layers; flips: blocks that changed their best combination within the "
            "last whole epoch"
        )
        self.order = combo_box(ORDERS, tip)
        self.order.currentIndexChanged.connect(self._sort)
        self.layers = QListWidget()
        self.layers.setAccessibleName("Layers")
        self.layers.setToolTip("The sparse layers; choose one to see its scores")
        self.layers.setIconSize(THUMBNAIL)
        small = self.layers.font()
        small.setPointSizeF(small.pointSizeF() * 0.9)
        self.layers.setFont(small)
        self.layers.setMinimumWidth(132)
        self.layers.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.layers.currentItemChanged.connect(self._chosen)
        self._in_view: frozenset[str] = frozenset()
        self._update_soon = QTimer(self, singleShot=True)  # once the list is laid out
        self._update_soon.timeout.connect(self._update_in_view)
        bar = self.layers.verticalScrollBar()
        bar.valueChanged.connect(self._moved)
        bar.rangeChanged.connect(self._moved)
        column(self.search, self.order, self.layers, on=self)
        self._show_tools()

    def show_layers(self, infos: Iterable[LayerInfo]) -> None:
        self._states = ()
        with QSignalBlocker(self.layers):
            self.layers.clear()
            for place, info in enumerate(infos):
                self.layers.addItem(_Entry(place, info))
        self._show_tools()
        self._filter()

    def clear_states(self) -> None:
        """Show nothing of the layers but their names, for another run."""
        self._states = ()
        for entry in self._entries():
            entry.state = entry.flips = None
            entry.setIcon(QIcon())
            entry.describe()

    def show_open(self, name: str | None) -> None:
        with QSignalBlocker(self.layers):
            for entry in self._entries():
                if entry.info.name == name:
                    self.layers.setCurrentItem(entry)

    def show_states(self, states: tuple[LayerState, ...]) -> None:
        if states == self._states:
            return
        self._states = states
        found = {state.name: state for state in states}
        for entry in self._entries():
            state = found.get(entry.info.name)
            if state is not None and state != entry.state:
                entry.state = state
                entry.describe()
        if self.order.currentText() in ("density", "live"):
            self._sort()

    @Slot(object)
    def show_thumbnails(self, thumbnails: Iterable[Thumbnail]) -> None:
        found = {thumbnail.name: thumbnail for thumbnail in thumbnails}
        for entry in self._entries():
            thumbnail = found.get(entry.info.name)
            if thumbnail is not None:
                entry.setIcon(_icon(thumbnail))

    @Slot(object)
    def show_flips(self, flips: EpochFlips) -> None:
        """Show how many blocks of every layer changed within one epoch, whether drawn or not."""
        for entry in self._entries():
            entry.flips = flips.shares.get(entry.info.name)
            entry.interval = f"between epochs {flips.first:g} and {flips.last:g}"
            entry.describe()
        if self.order.currentText() == "flips":
            self._sort()

    def move_to(self, splitter: QSplitter) -> None:
        """Move to the left of another page, with the same width as before."""
        width = self.width() if self.parent() is not None else WIDTH
        splitter.insertWidget(0, self)
        self.show()
        splitter.setStretchFactor(0, 0)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([width, max(1, splitter.width() - width)])

    def _entries(self) -> list[_Entry]:
        items = (self.layers.item(row) for row in range(self.layers.count()))
        return [item for item in items if isinstance(item, _Entry)]

    def _show_tools(self) -> None:
        many = self.layers.count() >= _FEWEST_TO_FIND
        self.search.setVisible(many)
        self.order.setVisible(many)

    @Slot(QListWidgetItem)
    def _chosen(self, item: QListWidgetItem | None, _before: object = None) -> None:
        if isinstance(item, _Entry):
            self.chosen.emit(item.info.name)

    @Slot()
    def _filter(self, _text: str = "") -> None:
        wanted = self.search.text().strip().lower()
        for entry in self._entries():
            entry.setHidden(wanted not in entry.info.name.lower())
        self._update_soon.start()

    @Slot()
    def _sort(self, _index: int = 0) -> None:
        for entry in self._entries():
            entry.order_by(self.order.currentText())
        with QSignalBlocker(self.layers):
            self.layers.sortItems()
        self._update_soon.start()

    @Slot()
    def _moved(self, *_: int) -> None:
        self._update_soon.start()

    @Slot()
    def _update_in_view(self) -> None:
        """Emit which layers are in view."""
        area = self.layers.viewport().rect()
        names = frozenset(
            entry.info.name
            for entry in self._entries()
            if not entry.isHidden() and self.layers.visualItemRect(entry).intersects(area)
        )
        if names != self._in_view:
            self._in_view = names
            self.in_view_changed.emit(names)


def _icon(thumbnail: Thumbnail) -> QIcon:
    table = thumbnail.picture.scale.table((0, 0, 0))
    image = rgb_image(table[thumbnail.picture.codes])
    return QIcon(QPixmap.fromImage(image.scaled(THUMBNAIL)))
