"""The masks of the compared runs: how far they agree, and how the searches came to them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PySide6.QtCore import Qt, QTimer, Signal, Slot
from PySide6.QtGui import QColor, QHideEvent, QResizeEvent, QShowEvent
from PySide6.QtWidgets import QSizePolicy, QWidget

from lbc.comparison.mask_agreement import Matrix, fold_seeds
from lbc.comparison.search_course import SearchCourse
from lbc.files.printable import printable
from lbc.library.differences import identify_experiment, label_settings
from lbc.library.run_summary import RunSummary
from lbc_gui.captions import with_minus
from lbc_gui.compare.agreement_matrix import AgreementMatrix
from lbc_gui.compare.course_plots import CoursePlots
from lbc_gui.compare.run_selection import RunSelection, Selection
from lbc_gui.compare.search_reader import Compared, CourseFound, Reading, SearchReader
from lbc_gui.export.view_export import Data, as_csv, as_npz
from lbc_gui.export.view_renderer import Picture
from lbc_gui.heatmap.key_legend import KeyLegend
from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import combo_box, tool_button
from lbc_gui.widgets.layouts import column, row, splitter
from lbc_gui.widgets.progress_bar import ProgressBar
from lbc_gui.widgets.text import Label, plain

WAIT_MILLISECONDS = 150
"""After the last change of the selection, before anything is read."""

STEPS = 1000

MOST_PROBLEMS = 3
"""Sentences that are shown; the others are counted."""

WHOLE = "whole network"
WORDS = (
    "κ (Cohen's kappa) says how far two masks agree beyond chance: 1 if they are equal, 0 if they "
    "agree as much as masks drawn at random. A block is decided when its best combination changes "
    "for the last time, which may be long before the others are removed."
)
CHOOSE = "Choose two or more runs in the table to compare their masks."


@dataclass(frozen=True)
class Rows:
    """The rows of the matrix: runs, or with ``kinds`` the settings of several.

    ``runs`` has the number of the run, or of a row's first one.
    """

    names: tuple[str, ...]
    runs: tuple[int, ...]
    kinds: tuple[object, ...] = ()
    seeds: tuple[int | None, ...] = ()

    @classmethod
    def of(cls, runs: Sequence[RunSummary], folded: bool) -> Rows:
        if not folded:
            return cls(tuple(run.title for run in runs), tuple(range(len(runs))))
        kinds = tuple(identify_experiment(run.parameters) for run in runs)
        first = {kind: at for at, kind in reversed([*enumerate(kinds)])}
        places = tuple(first[kind] for kind in dict.fromkeys(kinds))
        labels = label_settings([runs[at].parameters for at in places])
        names = tuple(label or "the same settings" for label in labels)
        return cls(names, places, kinds, tuple(run.seed for run in runs))

    def fold(self, matrix: Matrix) -> Matrix:
        """A matrix of runs as one of rows."""
        return fold_seeds(matrix, self.kinds, self.seeds) if self.kinds else matrix


class MasksPane(QWidget):
    """Reads the compared runs while it is visible. ``reading`` is the job to end with the window.

    The matrix and the plots can be saved: the pane itself is the View of the matrix.
    """

    masks_requested = Signal(object, object, str)
    """The folders of two runs, and the layer to open; "" where the whole network was compared."""

    def __init__(self, selection: RunSelection) -> None:
        super().__init__()
        self._selection = selection
        self._request: tuple[RunSummary, ...] = ()
        self._compared: Compared | None = None
        self._courses: dict[Path, SearchCourse] = {}
        self.reading = SearchReader(self)
        self.reading.arrived.connect(self._receive)
        self.reading.failed.connect(self._show_failure)
        self.reading.running_changed.connect(self._show_running)
        self.layers = combo_box((WHOLE,), "The layer whose masks are compared, or all together")
        self.layers.activated.connect(self._show_layer)
        tip = "Compare settings: means over the seeds that both have, on the diagonal between seeds"
        self.folded = tool_button("Fold seeds", tip, icon_name="fold")
        self.folded.setCheckable(True)
        self.folded.toggled.connect(self._show_layer)
        self._rows = Rows((), ())
        self.matrix, self.legend = AgreementMatrix(self._colour_of_row), KeyLegend()
        self.matrix.pair_shown.connect(self._show_pair)
        self.matrix.pair_opened.connect(self._open_pair)
        self.matrix.left.connect(lambda: selection.hover(None))
        self.plots = CoursePlots(self._colour_of)
        self.detail, self.note = Label(wordWrap=True), Label(wordWrap=True)
        self.note.setObjectName("problem")
        self._progress = ProgressBar()
        policy = self._progress.sizePolicy()
        policy.setRetainSizeWhenHidden(True)  # the matrix must not move under the mouse
        self._progress.setSizePolicy(policy)
        self._timer = QTimer(self, singleShot=True, interval=WAIT_MILLISECONDS)
        self._timer.timeout.connect(self._read)
        self._lay_out()
        selection.changed.connect(self._show_selection)
        self._show_running(False)
        self._show_compared()

    @property
    def layer(self) -> str | None:
        """The chosen layer; None for all together."""
        name: str | None = self.layers.currentData()
        return name

    def picture_to_save(self) -> Picture | None:
        if self._compared is None or not self._compared.runs:
            return None
        title = f"Agreement of masks (Cohen's κ) · {self.layers.currentText()}"
        return Picture("mask agreement", title, self.matrix, (self.legend,))

    def data_to_save(self) -> Data | None:
        """κ of every pair. npz: ``whole`` (R, R), ``by_layer`` (L, R, R), ``layers_in_common``."""
        compared = self._compared
        if compared is None or not compared.runs:
            return None
        found, folders = compared.agreement, [printable(str(run.folder)) for run in compared.runs]
        arrays = {
            "runs": np.array(folders),
            "layers": np.array(list(found.layers)),
            "whole": found.whole,
            "by_layer": np.array(list(found.layers.values())),
            "layers_in_common": found.shared,
        }
        tables = {WHOLE: found.whole, **found.layers}
        rows = [
            (folders[i], folders[j], name, kappa[i, j], found.shared[i, j])
            for name, kappa in tables.items()
            for i, j in zip(*np.triu_indices(len(folders), 1), strict=True)
            if np.isfinite(kappa[i, j])
        ]
        columns = ("first", "second", "layer", "kappa", "layers_in_common")
        return Data("mask agreement", {
            ".csv": as_csv(columns, len(rows), rows), ".npz": as_npz(arrays),
        })  # fmt: skip

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._timer.start()

    def hideEvent(self, event: QHideEvent) -> None:
        super().hideEvent(event)
        self._timer.stop()
        self.reading.cancel()

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Put the plots beneath the matrix, or beside it where there is more width."""
        super().resizeEvent(event)
        wide = self.width() > 2 * self.height()
        across = Qt.Orientation.Horizontal if wide else Qt.Orientation.Vertical
        if self._split.orientation() is not across:
            self._split.setOrientation(across)

    def _folders(self) -> list[Path]:
        return [] if self._compared is None else [run.folder for run in self._compared.runs]

    def _colour_of(self, run: int) -> QColor:
        return self._selection.colours.of(self._folders()[run])

    def _colour_of_row(self, row: int) -> QColor:
        return self._colour_of(self._rows.runs[row])

    @Slot(object, object)
    def _show_selection(self, before: Selection, now: Selection) -> None:
        if now.hovered != before.hovered:
            shown = [self._folders()[at] for at in self._rows.runs]
            self.matrix.light(shown.index(now.hovered) if now.hovered in shown else None)
        if self.isVisible() and now.compared != before.compared:
            self._timer.start()

    @Slot()
    def _read(self) -> None:
        runs, compared = self._selection.selection.compared, self._compared
        self._request = runs
        known = compared is not None and compared.request == runs
        if known and self._courses.keys() >= set(self._folders()):
            self.reading.cancel()
        else:
            self.reading.read(runs)

    @Slot(object)
    def _receive(self, events: Sequence[object]) -> None:
        found = False
        for event in events:
            if isinstance(event, Reading):
                self._progress.setFormat(printable(event.what))
                self._progress.show_done(round(STEPS * event.share), STEPS)
            elif isinstance(event, Compared) and event.request is self._request:
                self._compared = event
                self._show_compared()
            elif isinstance(event, CourseFound) and event.request is self._request:
                self._courses[event.run.folder] = event.course
                found = True
        if found:
            self._show_courses()

    @Slot(str, str)
    def _show_failure(self, message: str, _details: str) -> None:
        self.note.setText(message)
        self.note.show()

    @Slot(bool)
    def _show_running(self, running: bool) -> None:
        self._progress.setVisible(running)
        if running and self._compared is None:
            self.detail.clear()

    def _show_compared(self) -> None:
        compared = self._compared
        problems = () if compared is None else compared.problems
        shown = [printable(problem) for problem in problems[:MOST_PROBLEMS]]
        if len(problems) > MOST_PROBLEMS:
            shown.append(f"{len(problems) - MOST_PROBLEMS} more runs cannot be compared.")
        self.note.setText("\n".join(shown))
        self.note.setVisible(bool(shown))
        layer = self.layer
        self.layers.clear()
        self.layers.addItem(WHOLE, None)
        for name in () if compared is None else compared.agreement.layers:
            self.layers.addItem(printable(name) or "model", name)
        self.layers.setCurrentIndex(max(0, self.layers.findData(layer)))
        self._show_layer()

    @Slot()
    def _show_layer(self) -> None:
        compared, layer = self._compared, self.layer
        runs = () if compared is None else compared.runs
        self._rows = Rows.of(runs, self.folded.isChecked())
        self._split.setVisible(bool(runs))
        self.legend.setVisible(len(runs) > 1)
        if compared is None or not runs:
            self.plots.show_courses((), {}, None)
            self.detail.setText(CHOOSE)
            return
        found = compared.agreement
        kappas = found.whole if layer is None else found.layers[layer]
        self.matrix.show_matrix(self._rows.names, self._rows.fold(kappas))
        self.legend.show_key(self.matrix.scale)
        self._show_courses()
        assert self.matrix.pair is not None
        self._describe(*self.matrix.pair)

    def _show_courses(self) -> None:
        assert self._compared is not None
        runs = self._compared.runs
        if self.matrix.pair is not None:
            self.plots.show_pair(*(self._rows.runs[row] for row in self.matrix.pair))
        known = {
            at: self._courses[run.folder] for at, run in enumerate(runs)
            if run.folder in self._courses
        }  # fmt: skip
        self.plots.show_courses([run.title for run in runs], known, self.layer)

    @Slot(int, int)
    def _show_pair(self, first: int, second: int) -> None:
        runs = self._rows.runs
        self._selection.hover(self._folders()[runs[first]])
        self.plots.show_pair(runs[first], runs[second])
        self._describe(first, second)

    @Slot(int, int)
    def _open_pair(self, first: int, second: int) -> None:
        assert self._compared is not None
        one, other = (self._folders()[self._rows.runs[row]] for row in (first, second))
        self.masks_requested.emit(one, other, self.layer or "")

    def _describe(self, first: int, second: int) -> None:
        """Say what the cell under the mouse means."""
        compared, layer = self._compared, self.layer
        assert compared is not None
        if self.folded.isChecked():
            self._describe_folded(first, second)
            return
        name, other = (printable(compared.runs[at].title) for at in (first, second))
        if len(compared.runs) == 1:
            self.detail.setText(f"{name} alone: {CHOOSE[0].lower()}{CHOOSE[1:]}")
            return
        found = compared.agreement
        kappa = (found.whole if layer is None else found.layers[layer])[first, second]
        pair = f"{name} and {other}"
        shared = found.shared[first, second]
        most = max(found.shared[first, first], found.shared[second, second])
        if first == second:
            text = f"{name}: {_condition(compared, first)}"
        elif not np.isfinite(kappa):
            what = "sparse layer" if layer is None else f"layer {printable(layer)}"
            text = f"{pair} have no {what} of one name and shape in common."
        else:
            common = "" if shared == most else f" over the {shared} of {most} layers in common"
            value = with_minus(f"{kappa:.3f}")
            text = f"κ {value}{common} between {pair}{self._shares(first, second)}."
            text += " Click to open both masks."
            if not all(compared.masks[at].decided for at in (first, second)):
                text += " While a run searches, its best combinations so far are compared."
        self.detail.setText(text)
        self.matrix.setAccessibleDescription(text)

    def _describe_folded(self, first: int, second: int) -> None:
        """Say what a cell of two settings means."""
        compared, layer = self._compared, self.layer
        assert compared is not None
        found = compared.agreement
        kappa = self._rows.fold(found.whole if layer is None else found.layers[layer])
        name, other = (printable(self._rows.names[row]) for row in (first, second))
        pair = f"{name} at different seeds" if first == second else f"{name} and {other}"
        if not np.isfinite(kappa[first, second]):
            text = f"{pair}: there are no two runs to compare."
        else:
            value = with_minus(f"{kappa[first, second]:.3f}")
            text = f"κ {value} between {pair}{self._shares(first, second)}: means over the seeds."
        self.detail.setText(text)
        self.matrix.setAccessibleDescription(text)

    def _shares(self, first: int, second: int) -> str:
        """What share of the weights two rows treat alike, and what chance would give."""
        compared = self._compared
        if compared is None or self.layer is not None:
            return ""
        found = compared.agreement
        alike, chance = (
            self._rows.fold(each)[first, second] for each in (found.alike, found.chance)
        )
        return f"; they treat {alike:.1%} of the weights alike, by chance {chance:.1%}"

    def _lay_out(self) -> None:
        self.detail.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        head = row(self.layers, self.folded, (self.detail, 1), self.legend)
        self.detail.setToolTip(plain(WORDS))
        self._split = splitter(Qt.Orientation.Vertical, self.matrix, self.plots, sizes=[300, 200])
        layout = column(head, self.note, (self._split, 1), self._progress, on=self, margin=TIGHT)
        layout.addStretch(0)  # takes the room while there is nothing to show


def _condition(compared: Compared, at: int) -> str:
    """How far the search of a run has come."""
    masks = compared.masks[at]
    kept = sum(mask.kept for mask in masks.layers.values())
    share = kept / max(1, sum(mask.size for mask in masks.layers.values()))
    state = "every block is decided" if masks.decided else "the search has not ended"
    return f"{share:.1%} of the weights are kept after epoch {masks.epoch:g}, {state}."
