"""Tables of estimates: the layers in their order, and which of them are worth running as 2:4."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from PySide6.QtCore import QSortFilterProxyModel, Qt
from PySide6.QtGui import QFontMetrics

from lbc.latency.estimate import NetworkEstimate, ProductEstimate, RankedLayer
from lbc.latency.measurement import Time
from lbc_gui.latency.card_estimates import CardEstimates, LayerEstimate, describe_network
from lbc_gui.theme import GAP
from lbc_gui.widgets.table import Column, TableModel, TableView, faint, small_font


def _estimated(text: Callable[[ProductEstimate], str]) -> Callable[[LayerEstimate], str]:
    """The text of an estimate; nothing where there is none."""
    return lambda row: "" if row.estimate is None else text(row.estimate)


def _sorted_by(value: Callable[[ProductEstimate], float]) -> Callable[[LayerEstimate], float]:
    return lambda row: -1.0 if row.estimate is None else value(row.estimate)


def _ranked(text: Callable[[RankedLayer], str]) -> Callable[[LayerEstimate], str]:
    return lambda row: "" if row.rank is None else text(row.rank)


def _saved(row: LayerEstimate) -> float:
    return row.rank.saved_us if row.rank else 0.0


def _limit(estimate: ProductEstimate) -> str:
    dense, sparse = estimate.dense_limit, estimate.sparse_limit
    return dense if dense == sparse else f"{dense}; 2:4 {sparse}"


def _time(time: Time | None) -> str:
    return f"{time.median_us:,.1f}" if time else "–"


def _measured_times(row: LayerEstimate) -> str:
    result = row.measured
    return f"{_time(result.dense())} / {_time(result.sparse())}" if result else ""


def _measured_ratio(row: LayerEstimate) -> str:
    ratio = row.measured.ratio_of(row.measured.sparse()) if row.measured else None
    if ratio is None:
        return ""
    return f"{ratio.ratio:.2f} ({ratio.low:.2f}–{ratio.high:.2f})"


def _residual(row: LayerEstimate) -> str:
    return "" if row.residual is None else f"{100 * row.residual:+.0f} %"


def _verdict(row: LayerEstimate) -> str:
    """Whether 2:4 pays: by the whole interval, by the estimate alone, or not."""
    if row.estimate is None:
        return ""
    if row.estimate.low > 1:
        return "yes"
    return "perhaps" if row.estimate.speedup > 1 else "no: keep it dense"


def _network(text: Callable[[NetworkEstimate], str]) -> Callable[[CardEstimates], str]:
    return lambda row: "" if row.network is None else text(row.network)


LAYER: Column[LayerEstimate] = Column(
    "layer", lambda row: row.case.name, "Layer, in the network's order",
    sort_key=lambda row: row.number,
)  # fmt: skip
CARD: Column[LayerEstimate] = Column("card", lambda row: row.card, "The card it is estimated for")
SPEEDUP: Column[LayerEstimate] = Column(
    "speed-up (80 %)",
    _estimated(lambda at: f"{at.speedup:.2f} ({at.low:.2f}–{at.high:.2f})"),
    "Dense over 2:4 time; the interval held 80 % of the cases like it that the fit had not seen",
    number=True, sort_key=_sorted_by(lambda at: at.speedup),
)  # fmt: skip

LAYER_COLUMNS: tuple[Column[LayerEstimate], ...] = (
    LAYER,
    CARD,
    Column(
        "m×n×k", lambda row: f"{row.case.m}×{row.case.n}×{row.case.k}",
        "Outputs × tokens or pixels × inputs",
    ),
    Column(
        "dense µs", _estimated(lambda at: f"{at.dense_us:,.1f}"), "Estimated, not measured",
        number=True, sort_key=_sorted_by(lambda at: at.dense_us),
    ),
    Column(
        "2:4 µs", _estimated(lambda at: f"{at.sparse_us:,.1f}"), "Estimated, not measured",
        number=True, sort_key=_sorted_by(lambda at: at.sparse_us),
    ),
    SPEEDUP,
    Column("measured µs", _measured_times, "Dense / 2:4, of an open measurement of this case"),
    Column("measured", _measured_ratio, "Measured speed-up with its 95 % interval", number=True),
    Column(
        "residual", _residual, "Estimated speed-up above the measured one, as a share of it",
        number=True,
    ),
    Column("limited by", _estimated(_limit), "What takes the time: compute, weights or launch"),
    Column(
        "note", lambda row: row.reason or (row.estimate.note if row.estimate else ""),
        "How the estimate was made, or why there is none",
    ),
)  # fmt: skip
MEASURED = [at for at, column in enumerate(LAYER_COLUMNS) if column.title.startswith("measured")]
MEASURED.append(MEASURED[-1] + 1)  # and the residual

RANKING_COLUMNS: tuple[Column[LayerEstimate], ...] = (
    LAYER,
    CARD,
    Column(
        "saved µs", _ranked(lambda at: f"{at.saved_us:+,.1f}"),
        "Dense less 2:4 time; negative where 2:4 loses", number=True,
        sort_key=_saved,
    ),
    SPEEDUP,
    Column(
        "of time", _ranked(lambda at: f"{at.saved_share:+.1%}"),
        "Saved time as a share of the dense time of all estimated layers", number=True,
        sort_key=lambda row: row.rank.saved_share if row.rank else 0.0,
    ),
    Column(
        "of weights", _ranked(lambda at: f"{at.weight_share:.1%}"),
        "Share of the weights of all estimated layers", number=True,
        sort_key=lambda row: row.rank.weight_share if row.rank else 0.0,
    ),
    Column("worth it?", _verdict, "yes: the whole interval is above 1; perhaps: the estimate is"),
)  # fmt: skip


LAYER_SAMPLES = (
    "stages.3.blocks.11.mlp", "RTX 5080", "13824×65536×4096", "88,888.8", "88,888.8",
    "8.88 (8.88–8.88)", "88,888.8 / 88,888.8", "8.88 (8.88–8.88)", "+88 %",
    "weight bandwidth",
)  # fmt: skip
RANKING_SAMPLES = (
    "stages.3.blocks.11.mlp", "RTX 5080", "+88,888.8", "8.88 (8.88–8.88)", "+88.8%", "88.8%",
    "no: keep it dense",
)  # fmt: skip
"""Texts that the columns must have room for."""


def _widths(columns: Sequence[Column[Any]], samples: Sequence[str]) -> list[int]:
    """Widths for samples: those of contents would be measured again on every change."""
    room = QFontMetrics(small_font()).horizontalAdvance
    pairs = zip(columns, samples, strict=False)
    return [max(room(text), room(column.title)) + 2 * GAP for column, text in pairs]


class EstimateTable(TableView[LayerEstimate]):
    """A row for each layer and card. The current one is the layer whose course is drawn."""

    def __init__(
        self,
        name: str,
        columns: Sequence[Column[LayerEstimate]],
        samples: Sequence[str],
        stretch: int,
    ) -> None:
        model = TableModel(
            columns,
            tip=lambda row: row.reason or (row.estimate.note if row.estimate else ""),
            colour=lambda row: faint() if row.estimate is None else None,
            key=lambda row: (row.case.name, row.card),
        )
        widths = _widths(columns, samples)
        order = QSortFilterProxyModel()
        super().__init__(model, name, stretch=stretch, widths=widths, order=order)
        order.setParent(self)
        self.setTextElideMode(Qt.TextElideMode.ElideMiddle)
        self.setWordWrap(False)  # which would end a name before the word that does not fit
        self.setSortingEnabled(True)
        self.sortByColumn(-1, Qt.SortOrder.AscendingOrder)  # as it comes, until a click

    def show_layers(self, rows: Sequence[LayerEstimate]) -> None:
        self.table.show_rows(rows)
        self.setColumnHidden(self.table.columns.index(CARD), len({row.card for row in rows}) < 2)


class LayersTable(EstimateTable):
    """The layers in the network's order, measured figures beside the estimates."""

    def __init__(self) -> None:
        super().__init__("Estimated layers", LAYER_COLUMNS, LAYER_SAMPLES, stretch=-1)

    def show_cards(self, cards: Sequence[CardEstimates]) -> None:
        rows = [layer for card in cards for layer in card.layers]
        self.show_layers(sorted(rows, key=lambda row: row.number))
        measured = any(row.measured for row in rows)
        for column in MEASURED:
            self.setColumnHidden(column, not measured)


NETWORK_COLUMNS: tuple[Column[CardEstimates], ...] = (
    Column("whole network on", lambda row: row.card.title, "Card whose measurements were fitted"),
    Column("type", lambda row: row.model.dtype),
    Column("dense µs", _network(lambda at: f"{at.dense_us:,.0f}"), "Estimated", number=True),
    Column("2:4 µs", _network(lambda at: f"{at.sparse_us:,.0f}"), "Estimated", number=True),
    Column(
        "speed-up (80 %)", _network(lambda at: f"{at.speedup:.2f} ({at.low:.2f}–{at.high:.2f})"),
        "Dense over 2:4 time; at the ends of the interval all layers are at that end of theirs",
        number=True,
    ),
    Column(
        "best of both", _network(lambda at: f"{at.best_speedup:.2f}"),
        "Speed-up if layers that 2:4 slows down stay dense", number=True,
    ),
    Column(
        "error", lambda row: f"{row.model.errors.median:.0%}, {row.model.errors.p90:.0%}",
        "Of the speed-up of families of shapes that were left out of the fit: the median, and what "
        "90 % of them stay within", number=True,
    ),
    Column("note", describe_network, "What is not counted"),
)  # fmt: skip
NETWORK_SAMPLES = (
    "GeForce RTX 5080", "bfloat16", "888,888", "888,888", "8.88 (8.88–8.88)", "8.88", "88%, 88%",
)  # fmt: skip
MOST_ROWS = 3
"""Cards whose network is shown without scrolling."""


class NetworkTable(TableView[CardEstimates]):
    """The whole network, a row for each card."""

    def __init__(self) -> None:
        model = TableModel(
            NETWORK_COLUMNS, tip=describe_network, key=lambda row: (row.card.name, row.model.dtype)
        )
        widths = _widths(NETWORK_COLUMNS, NETWORK_SAMPLES)
        super().__init__(model, "Whole network", stretch=-1, widths=widths)

    def show_cards(self, cards: Sequence[CardEstimates]) -> None:
        shown = [card for card in cards if card.network is not None]
        self.table.show_rows(shown)
        self.setVisible(bool(shown))
        rows = min(len(shown), MOST_ROWS) * self.verticalHeader().defaultSectionSize()
        height = self.horizontalHeader().sizeHint().height() + rows + 2 * self.frameWidth()
        if height != self.height():
            self.setFixedHeight(height)


class RankingTable(EstimateTable):
    """The layers of each card by the time that 2:4 saves, most first."""

    def __init__(self) -> None:
        super().__init__("Layers by saved time", RANKING_COLUMNS, RANKING_SAMPLES, stretch=0)

    def show_cards(self, cards: Sequence[CardEstimates]) -> None:
        rows = [
            layer for card in cards for layer in sorted(card.estimated, key=_saved, reverse=True)
        ]
        self.show_layers(rows)
