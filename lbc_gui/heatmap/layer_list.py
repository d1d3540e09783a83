"""The sparse layers, each with a live thumbnail: find, sort, fold, open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby

from PySide6.QtCore import QEvent, QObject, QSignalBlocker, QSize, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QIcon, QPixmap
from PySide6.QtWidgets import QLineEdit, QSplitter, QTreeWidget, QTreeWidgetItem, QWidget

from lbc.pictures.score_snapshot import Thumbnail
from lbc.runs.epoch_flips import EpochFlips
from lbc.runs.events import LayerInfo
from lbc.runs.layer_moment import LayerState
from lbc_gui.heatmap.rgb_image import rgb_image
from lbc_gui.widgets.buttons import combo_box
from lbc_gui.widgets.layouts import column
from lbc_gui.widgets.share_bar import SHARE, ShareBars
from lbc_gui.widgets.text import plain

DOZEN = 12
"""Up to this number of layers a row has three lines; with more it has one, and they fold."""

LARGE, SMALL = QSize(44, 44), QSize(26, 16)
"""Thumbnails in rows of three lines and of one."""

LARGE_ROW, SMALL_ROW = 54, 20

NARROWEST, WIDTH = 132, 156
WIDEST_SHARE = 0.32
"""The most of the page that the list takes by itself."""

ORDERS = ("network order", "name", "size", "density", "live", "flips")
_FEWEST_TO_FIND = 6
"""With fewer layers there is no need to search or sort."""


class _Entry(QTreeWidgetItem):
    """One layer; ``key`` decides its place."""

    def __init__(self, place: int, info: LayerInfo, prefix: str, small: bool, mixed: bool) -> None:
        super().__init__()
        self.place, self.info, self.prefix = place, info, prefix
        self._small, self._mixed = small, mixed
        self.state: LayerState | None = None
        self.flips: float | None = None
        self.interval = ""
        self.key: tuple[float | str, int] = (0.0, place)
        self.setSizeHint(0, QSize(0, SMALL_ROW if small else LARGE_ROW))
        self.describe()

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
        name, facts, shares = info.name or "model", [str(info.pattern)], []
        tip = f"{name}: {info.pattern}, {info.blocks:,} blocks"
        if state is not None:
            live = "decided" if state.live == 1 else f"{state.live:,} live"
            facts.append(live)
            self.setData(0, SHARE, state.density)
            if state.density is not None:
                shares.append(f"{state.density:.0%}")
            tip += f", {state.live:,} of {info.pattern.count:,} combinations live in each block"
        if self.flips is not None:
            tip += f"; {self.flips:.1%} of the blocks changed their best combination "
            tip += self.interval
            if self.flips >= 0.005:
                shares.append(f"{self.flips:.0%} flip")
        if self._small:
            folded = self.parent() is not None
            short = name.removeprefix(f"{self.prefix}.") if folded else name
            if not self._mixed:  # the N:M is the same in every row
                del facts[0]
            text = " · ".join((short, *facts, *shares))
        else:
            text = "\n".join((name, " · ".join(facts), " · ".join(shares)))
        if text != self.text(0):
            self.setText(0, text)
        self.setToolTip(0, plain(tip))


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
        self.search.setAccessibleName("Find a layer")
        self.search.textChanged.connect(self._filter)
        tip = (
            "Order of the layers; flips: blocks that changed their best combination within the "
            "last whole epoch"
        )
        self.order = combo_box(ORDERS, tip)
        self.order.currentIndexChanged.connect(self._sort)
        self.layers = QTreeWidget()
        self.layers.setHeaderHidden(True)
        self.layers.setIndentation(9)
        self.layers.setItemDelegate(ShareBars(self.layers))
        self.layers.setAccessibleName("Layers")
        self.layers.setToolTip(
            "The sparse layers; choose one to see its scores. Bars are the shares of their weights "
            "that are kept"
        )
        small = self.layers.font()
        small.setPointSizeF(small.pointSizeF() * 0.9)
        self.layers.setFont(small)
        self.layers.setMinimumWidth(NARROWEST)
        self.layers.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.layers.currentItemChanged.connect(self._chosen)
        self.layers.itemExpanded.connect(self._moved)
        self.layers.itemCollapsed.connect(self._moved)
        self._rows: list[_Entry] = []
        self._groups: dict[str, QTreeWidgetItem] = {}
        self._splitter: QSplitter | None = None
        self._width_chosen = False
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
        infos = list(infos)
        small = len(infos) > DOZEN
        mixed = len({info.pattern for info in infos}) > 1
        prefixes = _prefixes([info.name for info in infos]) if small else {}
        with QSignalBlocker(self.layers):
            self.layers.clear()
            self._groups = {}
            self.layers.setIconSize(SMALL if small else LARGE)
            self._rows = [
                _Entry(place, info, prefixes.get(info.name, ""), small, mixed)
                for place, info in enumerate(infos)
            ]
            self._arrange()
        self._show_tools()
        self._sort()
        self._filter()
        self._fit_width()

    def clear_states(self) -> None:
        """Show nothing of the layers but their names, for another run."""
        self._states = ()
        for entry in self._entries():
            entry.state = entry.flips = None
            entry.setData(0, SHARE, None)
            entry.setIcon(0, QIcon())
            entry.describe()

    def show_open(self, name: str | None) -> None:
        with QSignalBlocker(self.layers):
            for entry in self._entries():
                if entry.info.name == name and entry is not self.layers.currentItem():
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
                entry.setIcon(0, _icon(thumbnail, self.layers.iconSize()))

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
        if self._splitter is not None:
            self._splitter.removeEventFilter(self)
            self._splitter.splitterMoved.disconnect(self._width_moved)
        self._splitter = splitter
        splitter.insertWidget(0, self)
        self.show()
        splitter.setStretchFactor(0, 0)
        splitter.setStretchFactor(1, 1)
        splitter.setSizes([width, max(1, splitter.width() - width)])
        splitter.installEventFilter(self)
        splitter.splitterMoved.connect(self._width_moved)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        if event.type() == QEvent.Type.Resize:
            self._fit_width()
        return super().eventFilter(watched, event)

    @Slot()
    def _width_moved(self, *_: int) -> None:
        self._width_chosen = True

    def _fit_width(self) -> None:
        """As wide as the rows need, within a share of the page, until the user moves the edge."""
        splitter = self._splitter
        if splitter is None or self._width_chosen:
            return
        small, icon = len(self._rows) > DOZEN, self.layers.iconSize().width()
        room = " · decided · 100% · 10% flip" if small else ""  # what will be known later
        lines = [line + room for row in self._rows for line in row.text(0).split("\n")]
        metrics = self.layers.fontMetrics()
        # with the marks that fold, margins and the scroll bar
        needed = icon + 64 + max(map(metrics.horizontalAdvance, lines), default=0)
        width = int(max(WIDTH, min(needed, WIDEST_SHARE * splitter.width())))
        splitter.setSizes([width, max(1, splitter.width() - width)])

    @property
    def shown_names(self) -> list[str]:
        """The layers that the search leaves, in the order shown."""
        return [entry.info.name for entry in self._rows if not entry.isHidden()]

    def _entries(self) -> list[_Entry]:
        """The layers in the order shown."""
        return list(self._rows)

    def _show_tools(self) -> None:
        many = len(self._rows) >= _FEWEST_TO_FIND
        self.search.setVisible(many)
        self.order.setVisible(many)

    @Slot(QTreeWidgetItem, QTreeWidgetItem)
    def _chosen(self, item: QTreeWidgetItem | None, _before: object = None) -> None:
        if isinstance(item, _Entry):
            self.chosen.emit(item.info.name)

    @Slot()
    def _filter(self, _text: str = "") -> None:
        wanted = self.search.text().strip().lower()
        for entry in self._entries():
            entry.setHidden(wanted not in entry.info.name.lower())
        for prefix, group in self._groups.items():
            group.setHidden(all(row.isHidden() for row in self._rows if row.prefix == prefix))
        self._update_soon.start()

    @Slot()
    def _sort(self, _index: int = 0) -> None:
        before = self._rows
        for entry in before:
            entry.order_by(self.order.currentText())
        self._rows = sorted(before, key=lambda entry: entry.key)
        folds = self.order.currentText() == ORDERS[0]
        if self._rows != before or folds != bool(self._groups):
            current, bar = self.layers.currentItem(), self.layers.verticalScrollBar()
            at = bar.value()
            with QSignalBlocker(self.layers):
                self._arrange()
                if current is not None:
                    self.layers.setCurrentItem(current)
            bar.setValue(at)
            self._filter()

    def _arrange(self) -> None:
        """Put the rows in their order; in that of the network below their prefixes."""
        while (top := self.layers.takeTopLevelItem(0)) is not None:
            top.takeChildren()
        self._groups = {}
        folds = self.order.currentText() == ORDERS[0]
        for entry in self._rows:
            if not (folds and entry.prefix):
                self.layers.addTopLevelItem(entry)
            else:
                self._group(entry.prefix).addChild(entry)
            entry.describe()
        self.layers.setRootIsDecorated(bool(self._groups))

    def _group(self, prefix: str) -> QTreeWidgetItem:
        if prefix not in self._groups:
            count = sum(entry.prefix == prefix for entry in self._rows)
            group = QTreeWidgetItem([f"{prefix} · {count} layers"])
            group.setFlags(Qt.ItemFlag.ItemIsEnabled)
            tip = f"{prefix}: {count} layers; fold them with the mark, a double click or the arrows"
            group.setToolTip(0, plain(tip))
            group.setSizeHint(0, QSize(0, SMALL_ROW))
            self.layers.addTopLevelItem(group)
            group.setExpanded(True)
            self._groups[prefix] = group
        return self._groups[prefix]

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


def _prefixes(names: Sequence[str], depth: int = 1) -> dict[str, str]:
    """What neighbouring names begin with, one prefix for no more than a dozen if there is one;
    names that are alone with theirs are left out."""
    found: dict[str, str] = {}
    for prefix, run in groupby(names, lambda name: ".".join(name.split(".")[:depth])):
        members = list(run)
        deeper = _prefixes(members, depth + 1) if len(members) > DOZEN else {}
        if deeper:
            found |= deeper
        elif len(members) > 1:
            found |= dict.fromkeys(members, prefix)
    return found


def _icon(thumbnail: Thumbnail, size: QSize) -> QIcon:
    table = thumbnail.picture.scale.table((0, 0, 0))
    image = rgb_image(table[thumbnail.picture.codes])
    return QIcon(QPixmap.fromImage(image.scaled(size)))
