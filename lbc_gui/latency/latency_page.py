"""The Latency page: to measure, choices above, measurements at the left, plots and cases beside
them; to estimate, a panel of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QGuiApplication
from PySide6.QtWidgets import QFileDialog, QTabWidget, QWidget

from lbc.config import Experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.files.printable import printable
from lbc.files.resources import resource
from lbc.latency.files import as_csv, as_json, load_measurements
from lbc.latency.hardware import describe_all
from lbc.latency.measurement import Measurement, MeasurementError
from lbc.latency.place import HERE
from lbc.latency.run import CaseDone, CaseStarted, LogMessage, Ready, WorkerFailed
from lbc_gui.file_writer import FileWriter
from lbc_gui.help.explanations import help_button
from lbc_gui.latency.cases_table import CasesModel, CasesTable
from lbc_gui.latency.device_card import DeviceCard, network_sentence
from lbc_gui.latency.estimate_panel import EstimatePanel
from lbc_gui.latency.measurement_session import MeasurementSession, Prepared
from lbc_gui.latency.measurements_list import MeasurementsList
from lbc_gui.latency.plots import LatencyPlots
from lbc_gui.latency.request_bar import RequestBar
from lbc_gui.settings import Settings
from lbc_gui.theme import TIGHT
from lbc_gui.turns import call_later
from lbc_gui.widgets.body_area import scrolled
from lbc_gui.widgets.buttons import push_button
from lbc_gui.widgets.layouts import column, row, splitter
from lbc_gui.widgets.text import Label
from lbc_gui.worker import describe

REDRAW_MILLISECONDS = 1000
"""Shortest time between two redraws of the plots while results arrive."""

ELSEWHERE = (
    "2:4 needs an NVIDIA GPU from the A100 on and torch 2.11 to 2.13 with CUDA: choose a server by "
    "ssh, or copy a command to paste on one."
)

LOWEST_PLOTS, LOWEST_TABLE = 260, 130
"""Pixels of height that the plots, with their legend, and the table always have."""

FILES = "Measurements (*.json *.ndjson)"


class LatencyPage(QWidget):
    """Sparse against dense latency of the open model's layers."""

    said = Signal(str)
    opened = Signal(object)
    """Path of a file of measurements."""
    """A sentence for the log."""
    failed = Signal(str, str)
    """A sentence for the message bar, and details."""

    def __init__(
        self,
        experiment: Callable[[], Experiment | None],
        run_folder: Callable[[], Path | None],
        approves: Callable[[Experiment], bool] = lambda experiment: False,
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        self.estimate = EstimatePanel(experiment, run_folder, approves, settings)
        self.request = RequestBar(experiment, run_folder, approves)
        self.measurements = MeasurementsList()
        self.card = DeviceCard()
        self.cases = CasesModel(self)
        self.plots = LatencyPlots()
        self.measuring = MeasurementSession(self)
        self.saving = FileWriter(self)
        self._names: tuple[str, ...] = ()
        self._growing: Measurement | None = None
        self._progress = Label()
        self._progress.hide()
        self._network = Label(wordWrap=True)
        self._redraw = QTimer(self)
        self._redraw.setSingleShot(True)
        self._redraw.setInterval(REDRAW_MILLISECONDS)
        self._redraw.timeout.connect(self._draw)
        self._lay_out()
        self._connect()
        self._show_current()

    @property
    def table(self) -> QWidget | None:
        """The table on screen: that of the measurements, or of the estimates."""
        return self.estimate.tables.currentWidget() if self.tabs.currentIndex() else self._table

    # -- commands -------------------------------------------------------------------------------

    @Slot()
    def measure(self) -> None:
        """Measure what is chosen; an invalid choice is reported."""
        try:
            prepare = self.request.prepare()
        except ValueError as error:
            self.failed.emit(str(error), "")
            return
        self._names = ()
        self._progress.setText("Loading torch…")
        self._progress.show()
        self.measuring.start(prepare)

    @Slot()
    def copy_command(self) -> None:
        """Put a line on the clipboard that measures the same on any server."""
        try:
            request = self.request.prepare(elsewhere=True)().request
        except Exception as error:
            problem = describe("The command could not be made", error, ValueError, ExperimentError)
            self.failed.emit(problem.message, problem.details)
            return
        what = "processor" if request.device == "cpu" else "GPU"
        lines = request.commands()
        QGuiApplication.clipboard().setText("\n".join(lines))
        self.said.emit(
            f"Copied: {len(lines)} line(s) that measure the {what} of the machine into whose shell "
            "they are pasted; it needs Python and torch. Import the latency-….ndjson files they "
            "write."
        )

    def open_files(self, paths: Sequence[Path]) -> None:
        """Add the measurements in files; one that cannot be read is reported, the others open."""
        for path in paths:
            try:
                found = load_measurements(path)
                self.measurements.add([_from_file(measurement, path) for measurement in found])
            except MeasurementError as error:
                self.failed.emit(str(error), "")
            else:
                self.opened.emit(path)

    def save_file(self, path: Path) -> None:
        """Write the ticked measurements: as a table where the name ends in .csv, else as JSON."""
        shown = tuple(measurement for _, measurement in self.measurements.drawn)
        text = as_csv if path.suffix == ".csv" else as_json
        self.saving.write(path, lambda file: file.write(text(shown).encode()))

    @Slot()
    def _import(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Import measurements", "", FILES)
        self.open_files([Path(name) for name in names])

    @Slot()
    def _open_recorded(self) -> None:
        self.open_files(_recorded())

    @Slot()
    def _export(self) -> None:
        name, _ = QFileDialog.getSaveFileName(
            self, "Export the ticked measurements", "latency.json", "JSON (*.json);;CSV (*.csv)"
        )
        if name:
            self.save_file(Path(name))

    # -- what arrives ---------------------------------------------------------------------------

    @Slot(object)
    def add(self, events: Sequence[object]) -> None:
        """Show the events of the measurement that runs."""
        for event in events:
            match event:
                case Prepared():
                    self._names = tuple(case.name for case in event.request.cases)
                    for name, reason in event.left_out:
                        self.said.emit(f"{name} is left out: {reason}.")
                    for support in describe_all(case.pattern for case in event.request.cases):
                        self.said.emit(support)
                case Ready():
                    self._growing = event.measurement
                    self.measurements.grow(event.measurement)
                case CaseStarted():
                    name = self._names[event.index] if event.index < len(self._names) else ""
                    done = f"{event.index + 1} of {len(self._names)}"
                    self._progress.setText(f"{event.dtype} {event.backend}, {done}: {name}")
                case CaseDone():
                    self._growing = event.measurement
                case WorkerFailed():
                    sentence = f"{event.dtype}, {event.backend}: {event.message}"
                    missing = event.kind in ("no GPU", "torch")
                    self.failed.emit(f"{sentence} {ELSEWHERE}" if missing else sentence, "")
                case LogMessage():
                    self.said.emit(event.text)
        if self._growing is not None:
            self.measurements.grow(self._growing)

    @Slot(bool)
    def _running_changed(self, running: bool) -> None:
        self.request.show_running(running)
        if not running:
            self._progress.hide()
            self._growing = None
            self._names = ()
            self._show_current()

    @Slot()
    def _show_current(self) -> None:
        shown = self.measurements.current
        growing = self._growing is not None and shown is self._growing
        done = {result.index for result in shown.results} if shown else set()
        waiting = [n for at, n in enumerate(self._names) if at not in done] if growing else []
        self.cases.show_measurement(shown, waiting, self.measurements.baseline)
        self.estimate.show_measurements([one for _, one in self.measurements.drawn])
        if not growing:
            self._summarise()
        for button in (self._pin, self._remove, self._save):
            button.setEnabled(shown is not None)
        if self._growing is None:
            self.plots.show_measurements(self.measurements.drawn)
        elif not self._redraw.isActive():
            self._redraw.start()

    @Slot()
    def _draw(self) -> None:
        self.plots.show_measurements(self.measurements.drawn)
        call_later(self, self._summarise)

    @Slot()
    def _summarise(self) -> None:
        """Show the device and the estimate for the network, which depend on every result."""
        shown = self.measurements.current
        self.card.show_measurement(shown)
        sentence = network_sentence(shown)
        self._network.setText(sentence)
        self._network.setVisible(bool(sentence))

    # -- construction ---------------------------------------------------------------------------

    def _connect(self) -> None:
        self.request.measure_asked.connect(self.measure)
        self.request.cancel_asked.connect(self.measuring.cancel)
        self.request.copy_asked.connect(self.copy_command)
        self.measuring.arrived.connect(self.add)
        self.measuring.failed.connect(self.failed)
        self.measuring.running_changed.connect(self._running_changed)
        self.measurements.changed.connect(self._show_current)
        for part in (self.estimate, self.saving):
            part.said.connect(self.said)
            part.failed.connect(self.failed)

    def _lay_out(self) -> None:
        measurements = self.measurements
        self._pin = push_button(
            "Pin", "Compare others with this one, as the baseline", measurements.pin_baseline
        )
        self._remove = push_button(
            "Remove", "Remove it from the list; files stay", measurements.remove_current
        )
        recorded = push_button(
            "Recorded", "Open the measurements that come with this program", self._open_recorded
        )
        if not _recorded():  # nothing is shown before it has its place: it would be a window
            recorded.hide()
        self._load = push_button(
            "Import…", "Open measurements, or what a worker on a server wrote", self._import
        )
        self._save = push_button("Export…", "Save the ticked ones as JSON or CSV", self._export)
        left = QWidget()
        card = scrolled(self.card)
        card.setObjectName("card")  # whose focus is shown: it has nothing else to scroll it by keys
        card.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
        card.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        pairs = (self._pin, self._remove), (self._load, self._save), (recorded,)
        buttons = [row(*((button, 1) for button in pair)) for pair in pairs]
        column((self.measurements, 1), *buttons, (card, 1), on=left)
        down, across = Qt.Orientation.Vertical, Qt.Orientation.Horizontal
        self._table = table = CasesTable(self.cases)
        self.plots.setMinimumHeight(LOWEST_PLOTS)  # a lower window scrolls
        table.setMinimumHeight(LOWEST_TABLE)
        right = splitter(down, self.plots, table, sizes=[320, 240])
        middle = splitter(across, left, right, sizes=[210, 700])
        middle.setStretchFactor(1, 1)
        measure = QWidget()
        top = row((self.request, 1), help_button("Latency"))
        column(top, self._progress, (middle, 1), self._network, on=measure, margin=TIGHT)
        self.tabs = QTabWidget(documentMode=True)
        self.tabs.addTab(scrolled(measure), "Measure")
        self.tabs.addTab(scrolled(self.estimate), "Estimate")  # it must not widen the window
        self.tabs.setTabToolTip(0, "Measure on this machine or a server")
        self.tabs.setTabToolTip(1, "Estimate for a GPU that is not at hand, from published data")
        column(self.tabs, on=self)


def _recorded() -> list[Path]:
    """The measurements that come with this program; a build without any has no such folder."""
    try:
        return sorted(resource("measurements").glob("*.json"))
    except FileNotFoundError:
        return []


def _from_file(measurement: Measurement, path: Path) -> Measurement:
    """Named after the file where it is nameless: what was "this machine" need not be this one."""
    nameless = measurement.source in (HERE.name, "imported")
    name = printable(path.name)
    return measurement.model_copy(update={"source": name}) if nameless else measurement
