"""Asks by which method a trained model is pruned at once, and shows how far that is."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QEvent, Qt, Slot
from PySide6.QtWidgets import QDialog, QWidget

from lbc.config import Experiment
from lbc.config.one_shot import one_shot_experiment
from lbc.files.printable import printable
from lbc_gui.experiment.form import ExperimentForm
from lbc_gui.run.prune_job import Pruned, PruneJob, PruneProgress, PruneRequest
from lbc_gui.theme import GAP, MARGIN
from lbc_gui.widgets.body_area import FittingArea
from lbc_gui.widgets.buttons import push_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.progress_bar import ProgressBar
from lbc_gui.widgets.text import HtmlLabel, Label, html

WIDTH = 460
"""Pixels of what the dialog says."""


class PruneDialog(QDialog):
    """Method, its options and N:M; while a model is pruned, the progress. It does not block."""

    def __init__(
        self,
        checkpoint: Path,
        base: Experiment,
        source: str,
        folder: Path,
        allow_import: bool,
        form: ExperimentForm,
        job: PruneJob,
        parent: QWidget,
    ) -> None:
        """Ask about a checkpoint of the model of ``base``, the experiment of ``source``.

        The result goes into ``folder``. ``form``, of PRUNE_ROWS, is used while the dialog is open.
        Raises ExperimentError.
        """
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        name = printable(checkpoint.name)
        self.setWindowTitle(f"Prune {name}")
        self._checkpoint, self._base, self._folder = checkpoint, base, folder
        self._job = job
        self._allow_import = allow_import
        self.form = form
        self.addActions([self.form.history.undo, self.form.history.redo])
        self.problem = Label(wordWrap=True)
        self.problem.setObjectName("problem")
        self.bar = ProgressBar()
        self.cancel = push_button("Cancel", "Write nothing", self.reject)
        self.prune = push_button("Prune", "Prune the model, and test it before and after")
        self.prune.setDefault(True)
        self.form.show_experiment(one_shot_experiment(base, checkpoint))
        self._lay_out(name, source)
        self.form.edited.connect(self._edited)
        self.prune.clicked.connect(self._prune)
        job.progressed.connect(self._show_progress)
        job.pruned.connect(self._pruned)
        job.failed.connect(self._failed)
        job.running_changed.connect(self._show_state)
        self._show_state()

    @property
    def request(self) -> PruneRequest | None:
        """What is asked for; None while a setting is invalid."""
        experiment = self.form.experiment
        if experiment is None:
            return None
        given = self._checkpoint, self._base, experiment, self._folder
        return PruneRequest(*given, self._allow_import)

    def event(self, event: QEvent) -> bool:
        handled = super().event(event)
        if (
            event.type() == QEvent.Type.LayoutRequest and self.isVisible()
        ):  # perhaps a method with more options
            self.resize(self.width(), max(self.height(), self.sizeHint().height()))
        return handled

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "form"):
            self.form.show_marks()

    def done(self, result: int) -> None:
        self.form.take_back()
        super().done(result)

    @Slot()
    def reject(self) -> None:
        """Close the dialog, and end what it has begun."""
        self._job.cancel()
        super().reject()

    @Slot()
    def _prune(self) -> None:
        request = self.request
        if request is not None and not self._job.running:
            self.problem.clear()
            self._show_progress(PruneProgress("Loading", 0))
            self._job.prune(request)

    @Slot(object)
    def _show_progress(self, progress: PruneProgress) -> None:
        self.bar.show_done(round(100 * progress.share), 100)
        self.bar.setFormat(f"{progress.what}…")

    @Slot(object)
    def _pruned(self, _pruned: Pruned) -> None:
        self.accept()

    @Slot(str, str)
    def _failed(self, sentence: str, _details: str) -> None:
        self.problem.setText(sentence)

    @Slot()
    def _edited(self) -> None:
        if self.form.experiment is not None:
            self.form.compare_with(self.form.experiment)  # tints would say nothing here
        self.problem.clear()
        self._show_state()

    @Slot()
    def _show_state(self) -> None:
        running = self._job.running
        self.form.pattern_box.setEnabled(not running)
        self.bar.setVisible(running)
        if self.form.problems:
            self.problem.setText("\n".join(self.form.problems))
        self.prune.setEnabled(not running and self.form.experiment is not None)

    def _lay_out(self, name: str, source: str) -> None:
        intro = HtmlLabel(
            html(
                "<b>{}</b> stays as it is. Its weights are pruned without training and written to "
                "a new file in {}. Model and data are those of {}.",
                name,
                printable(str(self._folder)),
                source,
            ),
            wordWrap=True,
        )
        intro.setMinimumWidth(WIDTH)  # of the dialog it would end that the height follows the form
        # The area is in the dialog first: Qt styles all that it contains at every move.
        whole = column((FittingArea(body := QWidget()), 1), on=self, margin=MARGIN)
        whole.setSpacing(GAP)
        column(intro, self.form.pattern_box, self.problem, None, on=body).setSpacing(GAP)
        whole.addLayout(row((self.bar, 1), None, self.cancel, self.prune))
