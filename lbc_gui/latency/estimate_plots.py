"""Pictures of estimates: times, speed-ups, and from how many tokens on 2:4 pays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import QEvent, Qt, Signal, Slot
from PySide6.QtGui import QColor
from PySide6.QtWidgets import QTabWidget, QWidget

from lbc.latency.estimate import NOTICE
from lbc.latency.measurement import Time
from lbc_gui.export.view_export import Data
from lbc_gui.export.view_renderer import Picture
from lbc_gui.latency.card_estimates import CardEstimates, Course, LayerEstimate
from lbc_gui.latency.estimate_export import as_csv, as_json
from lbc_gui.latency.hatched_bars import DENSE, SPARSE, HatchedBand, HatchedBars
from lbc_gui.latency.keyed_plot import KeyedPlot
from lbc_gui.latency.plots import MOST_BARS, colour_of
from lbc_gui.theme import mixed, plot_colours

GLYPHS = {DENSE: "▧", SPARSE: "▩", None: "■"}
"""Of the hatchings, as the key writes them; solid bars are measured."""

BANDS = (Qt.BrushStyle.FDiagPattern, Qt.BrushStyle.BDiagPattern)

Bars = tuple[str, QColor, Qt.BrushStyle | None, dict[int, tuple[float, float, float]]]
"""Name, colour, hatching or None for solid ones, and by case the value and its interval."""


class EstimatePlots(QTabWidget):
    """Three pictures of the same estimates, hatched, which say that nothing was measured."""

    shown = Signal()
    """Another picture is in front."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAccessibleName("Plots of the estimate")
        self._cards: tuple[CardEstimates, ...] = ()
        self._courses: Mapping[str, Course] = {}
        self._at, self._about = 1.0, ""
        self.times = KeyedPlot("Latency (µs, estimated)", "", logarithmic=("left",))
        self.speedups = KeyedPlot("Speed-up (estimated)", "", logarithmic=())
        self.course = KeyedPlot("Speed-up (estimated)", "images", logarithmic=("bottom",))
        for name, plot in (
            ("Time", self.times),
            ("Speed-up", self.speedups),
            ("Where 2:4 pays", self.course),
        ):
            plot.show_title(NOTICE)
            self.addTab(plot, name)
        self.currentChanged.connect(self._tab_changed)

    @property
    def shows_course(self) -> bool:
        return self.currentWidget() is self.course

    def show_cards(self, cards: Sequence[CardEstimates]) -> None:
        """Draw the layers on each card."""
        self._cards = tuple(card for card in cards if card.estimated)
        sources = dict.fromkeys(one.card.citation.partition(",")[0] for one in self._cards)
        for plot in (self.times, self.speedups, self.course):
            plot.show_title(" · ".join((NOTICE, *sources)))
        if not self.shows_course:
            self._draw()

    def show_courses(self, courses: Mapping[str, Course], about: str, unit: str, at: int) -> None:
        """Draw the speed-ups of ``about``, by card, over the number of ``unit``, now ``at``."""
        self._courses, self._about, self._at = courses, about, float(at)
        self.course.label_axis("bottom", unit)
        if self.shows_course:
            self._draw()

    def picture_to_save(self) -> Picture | None:
        name = self.tabText(self.currentIndex())
        cards = ", ".join(f"{one.card.name} {one.model.dtype}" for one in self._cards)
        title = f"{name} · {cards} · {NOTICE.lower()}"
        return Picture(f"estimate {name}", title, self.currentWidget()) if cards else None

    def data_to_save(self) -> Data | None:
        if not self._cards:
            return None
        table, record = as_csv(self._cards).encode(), as_json(self._cards).encode()
        writers = {
            ".csv": lambda file: file.write(table),
            ".json": lambda file: file.write(record),
        }
        return Data("estimates", writers)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "course"):
            for plot in (self.times, self.speedups, self.course):
                plot.restyle()
            self._draw()

    @Slot()
    def _tab_changed(self, _index: int = 0) -> None:
        self._draw()
        self.shown.emit()

    @Slot()
    def _draw(self) -> None:
        view = self.currentWidget()
        assert isinstance(view, KeyedPlot)
        view.empty()
        match view:
            case self.times:
                _draw_bars(view, self._cards, _times(self._cards), logarithmic=True)
                view.note("(hatched: estimated)")
            case self.speedups:
                _draw_bars(view, self._cards, _speedups(self._cards), logarithmic=False)
                view.note("(hatched: estimated; whiskers: 80 % of held-out cases like it)")
            case self.course:
                self._draw_course()
        view.finish()

    def _draw_course(self) -> None:
        view, numbers = self.course, {one.card.name: one.number for one in self._cards}
        _draw_level(view)
        for name, course in self._courses.items():
            if name not in numbers:
                continue
            colour, x = colour_of(numbers[name]), np.log10(course.x)
            view.plot.addItem(
                HatchedBand(x, course.low, course.high, colour, BANDS[numbers[name] % 2])
            )
            pen = pg.mkPen(colour, width=2, style=Qt.PenStyle.DashLine)
            view.plot.plot(x, course.speedup, pen=pen, connect="finite")
            begins = course.pays_from(course.speedup)
            if begins not in (None, course.first):
                at = {"x": np.log10([begins]), "y": [1.0]}
                point = pg.ScatterPlotItem(**at, symbol="d", size=10, brush=colour, pen=None)
                view.plot.addItem(point)
            view.explain("┄", colour, f"{name}: {describe_start(course)}")
        pen = pg.mkPen(plot_colours().text, width=1)
        view.plot.addItem(pg.InfiniteLine(np.log10(self._at), angle=90, pen=pen))
        view.note(
            f"({self._about}; band: 80 % of held-out cases; ◆: where 2:4 begins to pay; blank: "
            "outside the published data)"
        )


def describe_start(course: Course) -> str:
    """From where on 2:4 pays, by the estimate and by its whole interval."""
    if course.first is None:
        return "outside the published data"
    begins, surely = course.pays_from(course.speedup), course.pays_from(course.low)
    if begins is None:
        return "does not pay"
    if surely == course.first:
        return "surely pays everywhere"
    likely = "pays everywhere"
    if begins != course.first:
        likely = f"pays from about {_rounded(begins)} on"
    return likely if surely is None else f"{likely}, surely from {_rounded(surely)}"


def _rounded(number: float) -> str:
    return f"{float(f'{number:.2g}'):,.0f}"


def _draw_level(view: KeyedPlot) -> None:
    level = pg.mkPen(plot_colours().grid, width=1.5, style=Qt.PenStyle.DashLine)
    view.plot.addItem(pg.InfiniteLine(1.0, angle=0, pen=level))


def _times(cards: Sequence[CardEstimates]) -> list[Bars]:
    """Dense and 2:4 times of each card, estimated and then measured."""
    bars: list[Bars] = []
    for one in cards:
        colour, name = colour_of(one.number), one.card.name
        known = [(at.number, at.estimate) for at in one.estimated if at.estimate]
        dense = {number: (at.dense_us,) * 3 for number, at in known}
        sparse = {number: (at.sparse_us,) * 3 for number, at in known}
        bars += [(f"{name} dense", colour, DENSE, dense), ("2:4", colour, SPARSE, sparse)]
        kinds = ("dense", _dense, mixed(colour, 0.5)), ("2:4", _sparse, colour)
        for kind, time_of, shade in kinds:
            found = {at.number: time for at in one.layers if (time := time_of(at))}
            spread = {number: (t.median_us, t.p10_us, t.p90_us) for number, t in found.items()}
            if spread:
                bars.append((f"{kind} measured", shade, None, spread))
    return bars


def _dense(layer: LayerEstimate) -> Time | None:
    return layer.measured.dense() if layer.measured else None


def _sparse(layer: LayerEstimate) -> Time | None:
    return layer.measured.sparse() if layer.measured else None


def _speedups(cards: Sequence[CardEstimates]) -> list[Bars]:
    bars: list[Bars] = []
    for one in cards:
        colour, name = colour_of(one.number), one.card.name
        known = [(at.number, at.estimate) for at in one.estimated if at.estimate]
        ratios = {number: (at.speedup, at.low, at.high) for number, at in known}
        bars.append((name, colour, SPARSE, ratios))
        measured = {
            at.number: (ratio.ratio, ratio.low, ratio.high)
            for at in one.layers
            if at.measured and (ratio := at.measured.ratio_of(at.measured.sparse()))
        }
        if measured:
            bars.append(("measured", colour, None, measured))
    return bars


def _draw_bars(
    view: KeyedPlot, cards: Sequence[CardEstimates], bars: Sequence[Bars], logarithmic: bool
) -> None:
    """Groups of bars, one for each of the first layers."""
    names = [layer.case.name for layer in cards[0].layers] if cards else []
    width = 0.8 / max(1, len(bars))
    values = [at for *_, found in bars for number, at in found.items() if number < MOST_BARS]
    if not logarithmic:
        _draw_level(view)
    for place, (name, colour, hatching, found) in enumerate(bars):
        numbers = [number for number in found if number < MOST_BARS]
        if not numbers:
            continue
        x = np.array(numbers) + (place - (len(bars) - 1) / 2) * width
        middle, low, high = np.array([found[number] for number in numbers]).T
        base = np.ones(len(x))
        if logarithmic:  # such an axis has no zero for bars to start from
            middle, low, high = np.log10((middle, low, high))
            base = np.full(len(x), np.log10(0.5 * min(at[1] for at in values)))
        if hatching is not None:
            view.plot.addItem(HatchedBars(x, base, middle, 0.92 * width, colour, hatching))
        else:
            solid = {"width": 0.92 * width, "brush": colour, "pen": None}
            view.plot.addItem(pg.BarGraphItem(x=x, y0=base, height=middle - base, **solid))
        if (high > low).any():
            view.add_whiskers(x, middle, low, high, plot_colours().text, 0.4 * width)
        view.explain(GLYPHS[hatching], colour, name)
    if len(names) > MOST_BARS:
        view.note(f"(the first {MOST_BARS} of {len(names)} layers)")
    view.name_cases(names[:MOST_BARS])
