"""Estimates for cards that are not at hand: choices above, pictures and tables below."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QShowEvent
from PySide6.QtWidgets import QFileDialog, QTabWidget, QWidget

from lbc.config import Experiment
from lbc.latency.cases import Case
from lbc.latency.estimate import EstimateError, find_card
from lbc.latency.measurement import Measurement
from lbc_gui.file_writer import FileWriter
from lbc_gui.help.explanations import help_button
from lbc_gui.latency.card_estimates import (
    CardEstimates,
    Course,
    LayerEstimate,
    OwnMeasurements,
    course_of,
    estimate_card,
)
from lbc_gui.latency.estimate_bar import MOST, EstimateBar
from lbc_gui.latency.estimate_export import as_csv, as_json
from lbc_gui.latency.estimate_plots import EstimatePlots
from lbc_gui.latency.estimate_tables import EstimateTable, LayersTable, NetworkTable, RankingTable
from lbc_gui.latency.model_layers import LayersReader, ModelLayers, scaled
from lbc_gui.settings import EstimateChoice, Settings
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import combo_box, push_button
from lbc_gui.widgets.layouts import column, row, splitter
from lbc_gui.widgets.text import Label

READING = "The layers of the model are being read…"
WHOLE = "whole network"
LOWEST_PICTURE, LOWEST_TABLE = 200, 130
"""Pixels of height that pictures and tables always have."""


class EstimatePanel(QWidget):
    """Follows the choices above it and the open measurements, while it is on screen."""

    said = Signal(str)
    failed = Signal(str, str)
    choice_changed = Signal()
    """What is estimated everywhere: the cards, the type, or the batch in the settings."""

    def __init__(
        self,
        experiment: Callable[[], Experiment | None],
        run_folder: Callable[[], Path | None],
        approves: Callable[[Experiment], bool],
        settings: Settings | None,
    ) -> None:
        super().__init__()
        self._settings = settings
        choice = settings.estimate if settings else EstimateChoice()
        self.bar = EstimateBar(experiment, run_folder, approves, choice)
        self.plots = EstimatePlots()
        self.layers, self.ranking = LayersTable(), RankingTable()
        self.reading, self.saving = LayersReader(self), FileWriter(self)
        self.jobs = (self.reading, self.saving)
        self.shown: tuple[CardEstimates, ...] = ()
        self._own = OwnMeasurements(())
        self._read: tuple[object, ModelLayers] | None = None
        """The layers that are known, and what they were read for."""
        self._asked: object = None
        self._unreadable: tuple[object, str] | None = None
        """What was asked for last time in vain, and why; tried again when the panel is shown."""
        self._courses: dict[object, Course] = {}
        self.problem, self.network = Label(wordWrap=True), NetworkTable()
        self.problem.setObjectName("problem")
        self.progress = Label(READING)
        self.subject = combo_box((WHOLE,), "Whose speed-up is drawn over the number of tokens")
        self.subject.setAccessibleName("Drawn over tokens")
        self._later = QTimer(self, singleShot=True, interval=0)
        self._later.timeout.connect(self._draw_courses)
        self._lay_out()
        self._connect()

    def show_measurements(self, measurements: Sequence[Measurement]) -> None:
        """Put these measurements beside the estimates of the same cases."""
        self._own = OwnMeasurements(measurements)
        self._courses.clear()
        self.refresh()

    @Slot()
    def refresh(self, *_: object) -> None:
        """Estimate what is chosen, after reading the model where it is another one."""
        if not self.isVisible():
            return
        try:
            source = self.bar.source()
            factor = self.bar.factor
        except ValueError as error:
            self._show_nothing(str(error))
            return
        if source.known is not None:
            self._take(source.key, source.known)
        if self._read is not None and self._read[0] == source.key:
            self._estimate(self._read[1], factor)
        elif self._unreadable is not None and self._unreadable[0] == source.key:
            self._show_nothing(self._unreadable[1])
        elif self._asked != source.key or not self.reading.running:
            self._asked = source.key
            self._show((), ())
            self.progress.show()
            self.reading.read(source.key, source.read)

    def save_file(self, path: Path) -> None:
        """Write the estimates: JSON where the name ends so, else a table."""
        shown = self.shown
        text = as_json if path.suffix == ".json" else as_csv
        self.saving.write(path, lambda file: file.write(text(shown).encode()))

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._unreadable = None
        self.refresh()

    # -- estimating ---------------------------------------------------------------------------

    @Slot(object)
    def _layers_arrived(self, events: Sequence[tuple[object, ModelLayers]]) -> None:
        key, layers = events[-1]
        self._take(key, replace(layers, cases=tuple(_unmasked(layers.cases))))
        for name, reason in layers.left_out:
            self.said.emit(f"{name} is left out of the estimate: {reason}.")
        self.refresh()

    def _take(self, key: object, layers: ModelLayers) -> None:
        if self._read is None or self._read[0] != key:
            self._read = key, layers
            self._courses.clear()

    @Slot(str, str)
    def _reading_failed(self, sentence: str, details: str) -> None:
        self._unreadable = self._asked, sentence
        self.refresh()
        if details:
            self.failed.emit(sentence, details)

    def _estimate(self, layers: ModelLayers, factor: int) -> None:
        problems, shown = [], []
        cases, dtype = scaled(layers.cases, factor), self.bar.dtype.currentText()
        names = [box.text() for box in self.bar.cards]
        for name in self.bar.chosen_cards:
            card = find_card(name)
            try:
                number, add = names.index(name), self.bar.own.isChecked()
                shown.append(estimate_card(number, card, dtype, cases, self._own, add))
            except EstimateError as error:
                problems.append(str(error))
        if not self.bar.chosen_cards:
            problems.append("Choose at least one card.")
        if not cases:
            problems.append("No layer of the model is sparse: choose another N:M or model.")
        self._show(shown, problems)
        self._remember()

    def _show_nothing(self, sentence: str) -> None:
        self._show((), [sentence])

    def _show(self, cards: Sequence[CardEstimates], problems: Sequence[str]) -> None:
        self.shown = tuple(cards)
        self.progress.hide()
        self.problem.setText("\n".join(dict.fromkeys((*problems, *_refusals(cards)))))
        self.problem.setVisible(bool(self.problem.text()))
        self.network.show_cards(self.shown)
        self._list_subjects()
        self.plots.show_cards(self.shown)
        self._fill_table()
        for button in (self._copy, self._save):
            button.setEnabled(bool(self.shown))
        self._later.start()

    def _list_subjects(self) -> None:
        """Offer the whole network and each of its layers; the chosen one stays if it is there."""
        layers = self.shown[0].layers if self.shown else ()
        names = [WHOLE, *(layer.case.name for layer in layers)]
        chosen = self.subject.currentText()
        if names != [self.subject.itemText(at) for at in range(self.subject.count())]:
            self.subject.blockSignals(True)
            self.subject.clear()
            self.subject.addItems(names)
            self.subject.setCurrentText(chosen if chosen in names else WHOLE)
            self.subject.blockSignals(False)

    @Slot()
    def _fill_table(self, *_: object) -> None:
        table = self.tables.currentWidget()
        assert isinstance(table, LayersTable | RankingTable)
        table.show_cards(self.shown)

    @Slot(object)
    def _layer_chosen(self, layer: LayerEstimate | None) -> None:
        if layer is not None:
            self.subject.setCurrentText(layer.case.name)

    @Slot()
    def _draw_courses(self, *_: object) -> None:
        """Draw the speed-up over tokens, in a turn of its own: the tables are redrawn before it."""
        self._of.setVisible(self.plots.shows_course)
        if not self.plots.shows_course or not self.shown or self._read is None:
            return
        key, layers = self._read
        subject = self.subject.currentText()
        cases = [case for case in layers.cases if subject in (WHOLE, case.name)]
        courses = {}
        for one in self.shown:
            at = key, subject, one.card.name, one.model.dtype, one.own and self._own
            if at not in self._courses:
                self._courses[at] = course_of(one.model, cases, MOST)
            courses[one.card.name] = self._courses[at]
        self.plots.show_courses(courses, subject, self.bar.unit, self.bar.factor)

    def _remember(self) -> None:
        if self._settings is not None and self._settings.estimate != self.bar.choice:
            self._settings.estimate = self.bar.choice
            self.choice_changed.emit()

    # -- commands -------------------------------------------------------------------------------

    @Slot()
    def _copy_table(self) -> None:
        table = self.tables.currentWidget()
        assert isinstance(table, EstimateTable)
        table.copy_rows()
        self.said.emit("Copied the table of estimates.")

    @Slot()
    def _export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Export the estimates", "estimates.csv", "CSV (*.csv);;JSON (*.json)"
        )
        if name:
            self.save_file(Path(name))

    # -- construction ---------------------------------------------------------------------------

    def _connect(self) -> None:
        self.bar.changed.connect(self.refresh)
        self.reading.arrived.connect(self._layers_arrived)
        self.reading.failed.connect(self._reading_failed)
        self.saving.said.connect(self.said)
        self.saving.failed.connect(self.failed)
        self.subject.currentTextChanged.connect(self._draw_courses)
        self.plots.shown.connect(self._draw_courses)
        self.tables.currentChanged.connect(self._fill_table)
        for table in (self.layers, self.ranking):
            table.chosen.connect(self._layer_chosen)

    def _lay_out(self) -> None:
        self._copy = push_button("Copy", "Copy the chosen rows, or all", self._copy_table)
        self._save = push_button("Export…", "Save the estimates as CSV or JSON", self._export)
        self.tables = QTabWidget(documentMode=True)
        self.tables.addTab(self.layers, "Layers")
        self.tables.addTab(self.ranking, "Which layers are worth it?")
        corner, self._of = QWidget(), QWidget()
        row(self._copy, self._save, on=corner)
        row(Label("Of:"), self.subject, on=self._of)
        self.tables.setCornerWidget(corner)
        self.plots.setCornerWidget(self._of)
        self._of.hide()
        self.plots.setMinimumHeight(LOWEST_PICTURE)  # a lower window scrolls
        self.tables.setMinimumHeight(LOWEST_TABLE)
        split = splitter(Qt.Orientation.Vertical, self.plots, self.tables, sizes=[300, 260])
        top = row((self.bar, 1), help_button("Estimate"))
        column(top, self.problem, self.progress, (split, 1), self.network, on=self, margin=TIGHT)


def _unmasked(cases: Sequence[Case]) -> list[Case]:
    """Without the masks of a run, which no estimate depends on."""
    return [replace(case, mask=None) for case in cases]


def _refusals(cards: Sequence[CardEstimates]) -> list[str]:
    """Why nothing is estimated on a card; the reasons of single layers are in the table."""
    return [
        f"{one.card.name}: no layer has an estimate. {one.layers[0].reason}"
        for one in cards
        if one.layers and not one.estimated
    ]
