"""Asks at which checkpoint a run is forked, and with which settings it is trained on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from PySide6.QtCore import QEvent, Qt, QTimer, Signal, Slot
from PySide6.QtWidgets import QCheckBox, QDialog, QWidget

from lbc.config import Experiment
from lbc.files.printable import printable
from lbc.runs.kept_checkpoints import ForkPoint, experiment_at
from lbc.runs.run_state import RunError
from lbc_gui.experiment.form import ExperimentForm
from lbc_gui.experiment.schedule_preview import Forked, SchedulePreview
from lbc_gui.run.fork_job import Checked, ForkJob, ForkRequest, Origin
from lbc_gui.theme import GAP, MARGIN
from lbc_gui.widgets.body_area import FittingArea
from lbc_gui.widgets.buttons import combo_box, push_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.text import HtmlLabel, Label, html

CHECK_MILLISECONDS = 120
"""Between a change and its check."""

NOTHING_LEFT = "Nothing is left to train after this moment: raise it, or choose an earlier one."

MOST = 5
"""Reasons that are shown."""

WIDTH = 420
"""Pixels of the sentences beside the settings."""

IS_CONTROL = (
    "{} is the control already: it finished with these settings, and on the CPU a fork with "
    "nothing changed would end in the same bits."
)
NO_CONTROL = "Also queue a fork with nothing changed, as the control arm"
WHY_NO_CONTROL = {
    False: "{} has not finished, so there is nothing yet to compare the fork with.",
    True: "{} was changed by hand after this moment, which a fork does not repeat.",
}


class ForkDialog(QDialog):
    """Settings with the values of the run; what cannot be changed at the moment is marked."""

    confirmed = Signal(object)
    """ForkRequest: the fork that the user wants."""

    def __init__(
        self,
        origin: Origin,
        point: ForkPoint,
        before: Experiment,
        form: ExperimentForm,
        job: ForkJob,
        parent: QWidget,
    ) -> None:
        """Ask about ``point``, at which the run had the experiment ``before``, or another one.

        ``form``, of FORK_ROWS, is used while the dialog is open.
        """
        super().__init__(parent)
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.setWindowTitle(f"Fork {printable(origin.folder.name)}")
        self._origin, self.form, self._job = origin, form, job
        self._before = before
        self._unreadable = ""
        self.addActions([self.form.history.undo, self.form.history.redo])
        count = before.training.epochs
        points = [f"epoch {one.epoch:.2f} of {count}, step {one.step:,}" for one in origin.points]
        self.moments = combo_box(points, "The checkpoints of the run, of which one is continued")
        self.moments.setAccessibleName("Moment")
        self.moments.setCurrentIndex(origin.points.index(point))
        self.preview = SchedulePreview()
        self.control = QCheckBox(NO_CONTROL)
        self._about_control = Label(wordWrap=True)
        self.problem = Label(wordWrap=True)
        self.problem.setObjectName("problem")
        tip = "Train the fork after the runs queued before, in a process of its own"
        self.queue = push_button("Add to queue", tip, self._queue)
        self.train = push_button("Fork and train", "Train the fork in this window", self._train)
        self.train.setDefault(True)
        self.settled = True
        """Whether what is chosen has been checked, or is invalid."""
        self._soon = QTimer(self, singleShot=True, interval=CHECK_MILLISECONDS)
        self._soon.timeout.connect(self._check)
        self.form.show_experiment(self._begun)
        self._lay_out()
        self.form.edited.connect(self._edited)
        self.moments.currentIndexChanged.connect(self._moment_chosen)
        job.checked.connect(self._show_checked)
        self._edited()

    @property
    def _begun(self) -> Experiment:
        """What the fork is compared with, by another name."""
        return self._before.model_copy(update={"name": f"{self._before.name}-fork"})

    @Slot()
    def _moment_chosen(self) -> None:
        """Show the settings that the run had then, with what the user has changed."""
        try:
            before = experiment_at(self._origin.points[self.moments.currentIndex()])
        except RunError as error:
            self._unreadable = str(error)
        else:
            self._unreadable = ""
            if before != self._before:
                changes, self._before = self.form.changed_settings, before
                self.form.show_experiment(self._begun)
                for path, value in changes.items():
                    self.form.enter(path, value)
        self._edited()

    @property
    def epoch(self) -> float:
        """The moment that is chosen."""
        return self._origin.points[self.moments.currentIndex()].epoch

    @property
    def request(self) -> ForkRequest | None:
        """What is asked for; None while a setting is invalid."""
        experiment = self.form.experiment
        if experiment is None:
            return None
        control = not self.control.isHidden() and self.control.isChecked()
        changes = self.form.changed_settings
        at = self._origin, self.epoch, self._before
        return ForkRequest(*at, experiment, changes, control=control)

    def done(self, result: int) -> None:
        self.form.take_back()
        super().done(result)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "form"):
            self.form.show_marks()

    @Slot()
    def _edited(self) -> None:
        self._show_schedule()
        self._show_control()
        self._show_refused({})
        self.settled = self.form.experiment is None
        self._soon.start()

    @Slot()
    def _check(self) -> None:
        request = self.request
        if request is not None:
            self._job.check(request)

    @Slot(object)
    def _show_checked(self, checked: Checked) -> None:
        if checked.request != self.request:
            return
        self.settled = True
        self._show_refused(checked.fields, checked.others)

    def _show_refused(self, fields: Mapping[str, str], others: tuple[str, ...] = ()) -> None:
        """Mark the fields of what cannot be forked, and say why."""
        experiment = self.form.experiment
        if experiment is not None and self.epoch >= experiment.training.epochs:
            fields = {"training.epochs": NOTHING_LEFT, **fields}
        self.form.refuse(fields)
        named = (f"{self.form.label(path)}: {text}" for path, text in fields.items())
        problems = (*filter(None, [self._unreadable]), *self.form.problems, *named, *others)
        more = [f"And {len(problems) - MOST + 1} more reasons."] if len(problems) > MOST else []
        self.problem.setText("\n".join([*problems[: MOST - len(more)], *more]))
        for button in (self.queue, self.train):
            button.setEnabled(not problems)

    def _show_schedule(self) -> None:
        experiment = self.form.experiment
        if experiment is not None:
            old = self._before
            self.preview.show_schedule(
                {experiment.pattern: 1},
                experiment.method,
                experiment.schedule.as_schedule(),
                experiment.training.epochs,
                by_step="step" in (experiment.schedule.every, old.schedule.every),
                forked=Forked(
                    self.epoch,
                    old.pattern,
                    old.method,
                    old.schedule.as_schedule(),
                    old.training.epochs,
                ),
            )

    def _show_control(self) -> None:
        """Say whether the run is its fork's control arm, or offer to queue one."""
        is_control, name = self._origin.is_control(self.epoch), printable(self._origin.folder.name)
        sentence = IS_CONTROL if is_control else WHY_NO_CONTROL[self._origin.finished]
        self._about_control.setText(sentence.format(name))
        self.control.setHidden(is_control)

    @Slot()
    def _queue(self) -> None:
        self._confirm(queued=True)

    @Slot()
    def _train(self) -> None:
        self._confirm(queued=False)

    def _confirm(self, queued: bool) -> None:
        request = self.request
        if request is not None:
            self.confirmed.emit(replace(request, queued=queued))
            self.close()

    def _lay_out(self) -> None:
        intro = HtmlLabel(
            html(
                "<b>{}</b> stays as it is. The fork contains it up to the chosen checkpoint and is "
                "then trained with these settings; those that differ are tinted.",
                printable(self._origin.folder.name),
            ),
            wordWrap=True,
        )
        moment = Label("Begins at")
        moment.setBuddy(self.moments)
        # The area is in the dialog first: Qt styles all that it contains at every move.
        whole = column((FittingArea(body := QWidget()), 1), on=self, margin=MARGIN)
        whole.setSpacing(GAP)
        row(left := QWidget(), (right := QWidget(), 1), on=body)
        left.setMinimumWidth(290)
        column(row(moment, (self.moments, 1)), self.form.pattern_box, None, on=left)
        parts = (intro, self.preview, self._about_control, self.control, self.problem, None)
        column(*parts, on=right).setSpacing(GAP)
        right.setMinimumWidth(WIDTH)
        cancel = push_button("Cancel", "Make no fork", self.reject)
        whole.addLayout(row(None, cancel, self.queue, self.train))
        self.resize(self.minimumSizeHint())
