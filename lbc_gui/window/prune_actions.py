"""Prunes trained models at the user's request, and lets them be trained on."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from PySide6.QtCore import QObject, Signal, Slot
from PySide6.QtWidgets import QWidget

from lbc.config import EXTERNAL, Experiment
from lbc.config.one_shot import fine_tuning
from lbc.config.strict_yaml import ExperimentError
from lbc.files.printable import printable
from lbc.runs.effective_experiment import effective_experiment
from lbc.runs.own_runs import may_import
from lbc.runs.run_state import run_of
from lbc_gui.experiment.fields import PRUNE_ROWS
from lbc_gui.experiment.form import ExperimentForm
from lbc_gui.run.prune_dialog import PruneDialog
from lbc_gui.run.prune_job import Pruned, PruneJob
from lbc_gui.run.view_state import DELETED, View
from lbc_gui.widgets.commands import allow
from lbc_gui.window.run_parts import Parts


class PruneActions(QObject):
    """Opens the dialog for a run or a checkpoint, and what it has made on the page Inspect."""

    said = Signal(str)
    failed = Signal(str, str)

    def __init__(self, window: Parts, parent: QWidget) -> None:
        super().__init__(parent)
        self._window, self._parent = window, parent
        self._page, self._action = window.pages.inspector, window.actions_.prune
        self._bases: dict[Path, Experiment] = {}
        """The experiments of models pruned in this window, by the files of the results."""
        self._job = PruneJob(self)
        self._job.pruned.connect(self._pruned)
        self._job.said.connect(self.said)
        window.closing.wait_for(self._job)
        self._page.head.prune_asked.connect(self._prune_checkpoint)
        self._page.head.fine_tune_asked.connect(self._fine_tune)
        self._action.triggered.connect(self._prune_present)
        window.session.state_changed.connect(self._enable)
        window.session.loaded.connect(self._enable)
        window.view_state.changed.connect(self._view_changed)
        window.session.events_arrived.connect(self._enable)
        self._enable()

    @cached_property
    def _form(self) -> ExperimentForm:
        form = ExperimentForm(self._parent, PRUNE_ROWS, {})
        form.hide()
        return form

    @Slot(object, object)
    def _view_changed(self, before: View, view: View) -> None:
        if view.deleted is not before.deleted:
            self._enable()

    @Slot()
    def _enable(self) -> None:
        why_not = DELETED if self._window.view_state.view.deleted else ""
        if self._window.session.finished_folder is None:
            why_not = "Finish a run first, or open one that is finished"
        allow(self._action, why_not)

    @Slot()
    def _prune_present(self) -> None:
        if self._window.session.finished_folder is not None:
            self.prune(self._window.session.finished_folder)

    @Slot()
    def _prune_checkpoint(self) -> None:
        if self._page.reading.opening is not None:
            self.prune(self._page.reading.opening.file)

    def prune(self, checkpoint: Path) -> None:
        """Ask how the model of a run or checkpoint is to be pruned."""
        if open_ones := [one for one in self._parent.findChildren(PruneDialog) if one.isVisible()]:
            open_ones[0].raise_()
            return
        try:
            run = run_of(checkpoint)
            base, source, allowed = self._of_form() if run is None else self._of_run(run)
            if isinstance(base.model, EXTERNAL) and not allowed:
                raise ValueError(
                    f"The model of {source} is code, which you have not run here: take its "
                    "settings into the form and press Run or Reset first."
                )
            given = base, source, self._window.session.runs, allowed, self._form, self._job
            PruneDialog(checkpoint, *given, self._parent).show()
        except (ExperimentError, ValueError) as error:
            self.failed.emit(str(error), "")

    def _of_run(self, run: Path) -> tuple[Experiment, str, bool]:
        base = effective_experiment(run)
        allowed = may_import(run, base.model) or self._window.starting.approves(base)
        return base, f"the run {printable(run.name)}", allowed

    def _of_form(self) -> tuple[Experiment, str, bool]:
        base = self._window.experiment_panel.experiment
        if base is None:
            raise ValueError(
                "The form has no valid experiment with the model and the data of this checkpoint: "
                "correct it, or open that experiment."
            )
        allowed = self._window.starting.approves(base)
        return base, f"the experiment in the form, {base.name}", allowed

    @Slot(object)
    def _pruned(self, pruned: Pruned) -> None:
        self._bases[pruned.file] = pruned.request.base
        self.said.emit(pruned.sentence)
        self._window.pages.setCurrentWidget(self._page)
        self._page.open([pruned.file], pruned.layers)

    @Slot()
    def _fine_tune(self) -> None:
        """Fill the form with what trains the open file on; that can be undone there."""
        opening, panel = self._page.reading.opening, self._window.experiment_panel
        if opening is None:
            return
        try:
            base = self._bases.get(opening.file) or self._of_form()[0]
            experiment = fine_tuning(base, opening.file, self._page.stated_pattern)
        except (ExperimentError, ValueError) as error:
            self.failed.emit(str(error), "")
            return
        panel.form.enter_experiment(experiment)
        self._window.pages.setCurrentIndex(0)
        self.said.emit(
            f"Press Run: the form is set to train {opening.file.name} under its present mask."
        )
