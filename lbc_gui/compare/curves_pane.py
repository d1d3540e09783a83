"""The curves of the runs that are compared, one over another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from PySide6.QtCore import QEvent, QPointF, Qt, Slot
from PySide6.QtGui import QCursor, QHideEvent, QShowEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from lbc.files.printable import printable
from lbc.library.differences import identify_experiment, label_runs
from lbc.library.run_curves import EPOCHS, METRICS, Axis
from lbc.library.run_summary import RunSummary
from lbc.pictures.curve_means import Spread
from lbc_gui.compare.curves_item import CurvesPlot
from lbc_gui.compare.curves_reader import CurvesReader, CurvesRequest, Line, LinesRead, find_forks
from lbc_gui.compare.pointer import RunPointer, shortened
from lbc_gui.compare.run_selection import RunSelection, Selection
from lbc_gui.export.view_export import Data, as_csv, as_npz
from lbc_gui.export.view_renderer import Picture
from lbc_gui.theme import GAP, TIGHT, plot_colours
from lbc_gui.widgets.buttons import combo_box, tool_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.log_axis import from_log
from lbc_gui.widgets.plot import style_plot
from lbc_gui.widgets.text import HtmlLabel, Label, html

AXES: dict[str, Axis] = {"by epoch": "epoch", "by step": "step", "by time": "time"}

SMOOTHING = {"not smoothed": 0} | {
    f"smoothed over {span:,}": span for span in (3, 10, 30, 100, 300, 1000, 3000)
}

SEEDS: dict[str, Spread | None] = {
    "every run": None,
    "seeds: mean, range": "range",
    "seeds: mean ± deviation": "deviation",
}

REACH = 8
"""Pixels from the pointer within which a line is found."""

MOST_NAMED = 12
"""Lines that the legend names; the pointer names them all."""

LONGEST_NAME = 60

Group = tuple[Path, ...]


class CurvesPane(QWidget):
    """One metric of up to a hundred runs; a line that is clicked is a run that is selected."""

    def __init__(self, selection: RunSelection, graphics: CurvesPlot) -> None:
        super().__init__()
        self._selection = selection
        self.reader = CurvesReader(self)
        self.reader.arrived.connect(self._receive)
        self.reader.failed.connect(self._fail)
        self._asked, self._shown = CurvesRequest(), CurvesRequest()
        self._complete = True
        self._lines: dict[Group, Line] = {}
        self._labels: dict[Path, str] = {}
        self._problems: dict[Path, str] = {}
        self.metric_box = combo_box([of.title for of in METRICS.values()], "What is drawn")
        self.axis_box = combo_box(AXES, "Epochs, steps, or time without pauses")
        self.smoothing_box = combo_box(SMOOTHING, "Mean over so many points, latest ones first")
        self.seeds_box = combo_box(
            SEEDS, "Fold runs that differ in their seeds alone into one line"
        )
        self.logarithmic = tool_button("log", "Logarithmic axis")
        self.logarithmic.setCheckable(True)
        fit = tool_button("Fit", "Show the whole curves (double-click)", self.fit, "fit")
        self._legend = HtmlLabel(wordWrap=True)
        self._legend.setContentsMargins(GAP, 0, GAP, 0)
        self._legend.linkHovered.connect(self._hover_name)
        self._legend.linkActivated.connect(self._click_name)
        self._problem = Label(wordWrap=True)
        self._problem.setObjectName("problem")
        self._problem.setContentsMargins(GAP, 0, GAP, 0)
        self._graphics = graphics
        self.plot, self.item = graphics.plot, graphics.item
        self._pointer = RunPointer(selection, graphics)
        self._graphics.pointed.connect(self._mouse_moved)
        self._graphics.scene().sigMouseClicked.connect(self._mouse_clicked)
        boxes = (self.metric_box, self.axis_box, self.smoothing_box, self.seeds_box)
        bar = row(*boxes, self.logarithmic, fit, None)
        bar.setSpacing(GAP)
        bar.setContentsMargins(GAP, TIGHT, GAP, 0)
        layout = column(bar, self._legend, self._problem, (self._graphics, 1), on=self)
        layout.setSpacing(TIGHT)
        # The others have room to give.
        self.axis_box.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        for box in boxes:
            box.currentIndexChanged.connect(self._ask)
        self.logarithmic.toggled.connect(self._ask)
        selection.changed.connect(self._show_selection)
        self._restyle()
        self._show_lines()

    @Slot()
    def fit(self) -> None:
        """Show the whole curves, and follow them as they grow."""
        self.plot.enableAutoRange()

    def picture_to_save(self) -> Picture | None:
        if not self._lines:
            return None
        metric, axis = self._shown.metric, self._shown.axis
        title = f"{metric.label} by {axis}"
        if self._shown.span:
            title += f", smoothed over {self._shown.span:,}"
        return Picture(f"curves {metric.name}", title, self._graphics, (self._legend,))

    def data_to_save(self) -> Data | None:
        """Every point: npz holds ``runs``, and ``x0``, ``y0`` … of the first, without smoothing.

        Of several seeds y is the mean, between ``low0`` and ``high0``; ``folders`` has the first.
        """
        if not self._lines:
            return None
        metric, axis, lines = self._shown.metric, self._shown.axis, list(self._lines.values())
        names = [(self._name(group), str(group[0])) for group in self._lines]
        arrays: dict[str, Any] = {"runs": [name for name, _ in names]}
        arrays["folders"] = [folder for _, folder in names]
        for at, line in enumerate(lines):
            arrays |= {f"x{at}": line.raw.x, f"y{at}": line.raw.y}
            if line.band:
                arrays |= {f"low{at}": line.band.low.y, f"high{at}": line.band.high.y}
        unit = "seconds" if axis == "time" else axis
        columns = ("run", "folder", unit, metric.label, "low", "high")
        count = sum(len(line.raw) for line in lines)
        pairs = zip(names, lines, strict=True)
        rows = ((*name, *point) for name, line in pairs for point in _points(line))
        name = f"curves {metric.name}"
        return Data(name, {".csv": as_csv(columns, count, rows), ".npz": as_npz(arrays)})

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "item"):
            self._restyle()
            self._show_lines()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._ask()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._ask()

    def leaveEvent(self, event: QEvent) -> None:
        super().leaveEvent(event)
        self._selection.hover(None)

    # -- what is asked for, and what arrives ---------------------------------------------------

    @Slot()
    def _ask(self) -> None:
        """Have what is now chosen read; nothing while the pane is hidden."""
        metric = list(METRICS.values())[self.metric_box.currentIndex()]
        fits = metric.unit != "%"
        self.logarithmic.setEnabled(fits)
        spread = SEEDS[self.seeds_box.currentText()]
        groups = self._groups(fold=spread is not None) if self.isVisible() else ()
        request = CurvesRequest(
            groups=groups,
            metric=metric,
            axis=AXES[self.axis_box.currentText()],
            span=SMOOTHING[self.smoothing_box.currentText()],
            spread=spread or "range",
            logarithmic=fits and self.logarithmic.isChecked(),
            forks=find_forks(self._selection.selection.compared, groups),
        )
        if request == self._asked:
            return
        self._asked = request
        self.reader.ask(request)
        if self.isVisible() and not request.groups:
            self._begin(request)
            self._show_lines()

    def _groups(self, fold: bool) -> tuple[Group, ...]:
        groups: dict[object, list[Path]] = {}
        for run in self._selection.selection.compared:
            key = identify_experiment(run.parameters) if fold and run.parameters else run.folder
            groups.setdefault(key, []).append(run.folder)
        return tuple(map(tuple, groups.values()))

    @Slot(object)
    def _receive(self, events: list[LinesRead]) -> None:
        for event in events:
            if event.request != self._asked or not event.request.groups:
                continue
            if event.request != self._shown:
                self._begin(event.request)
            for group, line in event.lines.items():
                self._lines.pop(group, None)
                if line is not None:
                    self._lines[group] = line
            self._problems = dict(event.problems)
            self._complete = event.complete
            self._show_lines()

    @Slot(str, str)
    def _fail(self, sentence: str, _details: str) -> None:
        self._problem.setText(sentence)
        self._problem.show()

    def _begin(self, request: CurvesRequest) -> None:
        """Other lines than before are about to be shown; keep the range where it may fit."""
        before, self._shown = self._shown, request
        self._lines = {}
        now, earlier = (replace(one, span=0, groups=(), forks={}) for one in (request, before))
        if now != earlier:
            self.fit()

    # -- what is shown -------------------------------------------------------------------------

    @Slot(object, object)
    def _show_selection(self, before: Selection, now: Selection) -> None:
        if now.compared != before.compared:
            self._ask()
            self._name_runs()
            self._show_legend()
        self._light()

    def _show_lines(self) -> None:
        order = {group: at for at, group in enumerate(self._shown.groups)}
        self._lines = dict(sorted(self._lines.items(), key=lambda pair: order[pair[0]]))
        colours = self._selection.colours
        self.item.show_lines(
            {group[0]: line for group, line in self._lines.items()},
            {group[0]: colours.of(group[0]) for group in self._lines},
            self._shown.logarithmic,
        )
        self._graphics.value_axis.logarithmic = self._shown.logarithmic
        self._show_axes()
        self._light()
        self._name_runs()
        self._show_legend()
        sentences = list(self._problems.values())
        if len(sentences) > 3:
            sentences[2:] = [f"And {len(sentences) - 2} other runs cannot be read."]
        self._problem.setText(printable(" ".join(sentences)))
        self._problem.setVisible(bool(sentences))

    def _show_axes(self) -> None:
        text = {"color": plot_colours().text.name()}
        self._graphics.value_axis.setLabel(self._shown.metric.label, **text)
        axis, (unit, seconds) = self._shown.axis, self._time_unit
        bottom = self.plot.getAxis("bottom")
        bottom.setScale(1 / seconds if axis == "time" else 1)
        bottom.whole = axis == "step" or (axis == "epoch" and self._shown.metric.file == EPOCHS)
        bottom.setLabel(f"time ({unit})" if axis == "time" else axis, **text)

    @property
    def _time_unit(self) -> tuple[str, int]:
        last = max((float(line.raw.x[-1]) for line in self._lines.values()), default=0)
        return ("s", 1) if last < 300 else ("min", 60) if last < 18_000 else ("h", 3600)

    def _light(self) -> None:
        now = self._selection.selection
        folders = now.selected if now.hovered is None else {now.hovered}
        lit = frozenset(group[0] for group in self._lines if not folders.isdisjoint(group))
        self.item.light(lit if len(lit) < len(self._lines) else frozenset())

    @property
    def _runs(self) -> dict[Path, RunSummary]:
        return {run.folder: run for run in self._selection.selection.compared}

    def _name_runs(self) -> None:
        """Name every line by its title, and say by which settings it differs from the others."""
        runs = self._runs
        heads = [runs[group[0]] for group in self._lines if group[0] in runs]
        folded = any(len(group) > 1 for group in self._lines)
        settings = [
            dict(identify_experiment(run.parameters)) if folded else run.parameters for run in heads
        ]
        found = zip(heads, label_runs(settings), strict=True)
        self._labels = {run.folder: label for run, label in found}

    def _name(self, group: Group) -> str:
        runs = self._runs
        label = self._labels.get(group[0], "")
        title = runs[group[0]].title if group[0] in runs else group[0].name
        name = shortened(printable(title if len(group) == 1 else label or title), LONGEST_NAME)
        return name if len(group) == 1 else f"{name}: {len(group)} runs"

    def _caption(self, group: Group) -> str:
        """The settings that tell a line from all others in few words, or else its name."""
        label = printable(self._labels.get(group[0], ""))
        tells = 0 < len(label) <= LONGEST_NAME and [*self._labels.values()].count(label) == 1
        run = self._runs.get(group[0])
        if tells and len(group) == 1 and run is not None and not run.annotations.title:
            return label.replace(" ", "\N{NO-BREAK SPACE}")
        return self._name(group)

    def _show_legend(self) -> None:
        link = '<a href="{}" style="color: {}; text-decoration: none">●&nbsp;{}</a>'
        entries = []
        for at, group in enumerate(list(self._lines)[:MOST_NAMED]):
            colour = self._selection.colours.of(group[0]).name()
            entries.append(html(link, at, colour, self._caption(group)))
        if len(self._lines) > MOST_NAMED:
            entries.append(f"and {len(self._lines) - MOST_NAMED} more: point at a line")
        if not self._complete:
            entries.append(f"reading, {len(self._lines)} of {len(self._shown.groups)}")
        elif not self._lines:
            entries.append("No run that is compared has recorded this.")
        self._legend.setText(" &nbsp; ".join(entries))

    def _restyle(self) -> None:
        colours = plot_colours()
        self._graphics.setBackground(colours.background)
        style_plot(self.plot, colours)
        self.plot.showGrid(x=True, y=True, alpha=0.15)

    # -- the pointer ---------------------------------------------------------------------------

    def _group_at(self, position: QPointF) -> Group | None:
        box = self.plot.vb
        if not box.sceneBoundingRect().contains(position):
            return None
        at = box.mapFromScene(position)
        key = self.item.nearest(at.x(), at.y(), REACH)
        return next((group for group in self._lines if group[0] == key), None)

    @Slot(object)
    def _mouse_moved(self, position: QPointF) -> None:
        group = self._group_at(position)
        where = self._graphics.mapToGlobal(self._graphics.mapFromScene(position))
        at = self.plot.vb.mapSceneToView(position)
        self._pointer.move(group or (), self._describe(group, at) if group else (), where)

    def _describe(self, group: Group, at: QPointF) -> list[str]:
        """The run, the settings by which it differs, and its value at a place."""
        line, shown = self._lines[group], self._shown
        curve, reach = line.raw, REACH * self.plot.vb.viewPixelSize()[0]
        y = from_log(at.y()) if shown.logarithmic else at.y()
        nearest = curve.nearest(at.x(), y, reach)
        value = f"{curve.y[nearest]:.4g} {shown.metric.unit}".rstrip()
        if line.smoothed:
            value += f", smoothed {line.smoothed.y[nearest]:.4g}"
        lines = [self._name(group), f"{self._place(curve.x[nearest])}: {value}"]
        if len(group) == 1:
            lines.insert(1, self._labels.get(group[0], ""))
        if curve.first_gap is not None:
            what = "Not finite, or not positive," if shown.logarithmic else "Not finite"
            lines.append(f"{what} from {self._place(curve.x[curve.first_gap])}")
        return lines

    def _place(self, x: float) -> str:
        """A place along the axis, with its unit."""
        axis, (unit, seconds) = self._shown.axis, self._time_unit
        return f"{x / seconds:.4g} {unit}" if axis == "time" else f"{axis} {round(x, 2):,.10g}"

    @Slot(object)
    def _mouse_clicked(self, event: Any) -> None:
        if event.button() != Qt.MouseButton.LeftButton or event.double():
            return
        self._pointer.click(self._group_at(event.scenePos()) or (), event.modifiers())

    @Slot(str)
    def _hover_name(self, place: str) -> None:
        group = self._named(place)
        lines = [self._name(group), self._labels.get(group[0], "")] if group else []
        self._pointer.move(group, lines, QCursor.pos())

    @Slot(str)
    def _click_name(self, place: str) -> None:
        self._pointer.click(self._named(place), Qt.KeyboardModifier.NoModifier)

    def _named(self, place: str) -> Group:
        """The runs of an entry of the legend, none if the pointer left it or they are gone."""
        groups = list(self._lines)
        return groups[int(place)] if place and int(place) < len(groups) else ()


def _points(line: Line) -> Iterator[tuple[float, ...]]:
    columns = [line.raw.x.tolist(), line.raw.y.tolist()]
    if line.band:
        columns += [line.band.low.y.tolist(), line.band.high.y.tolist()]
    return zip(*columns, strict=True)
