"""The Experiment dock: N:M and schedule with what they imply, then everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QScrollArea, QSizePolicy, QTabWidget, QWidget

from lbc.config import EXTERNAL, Experiment
from lbc.runs.effective_experiment import changed_keys
from lbc.runs.events import STEERABLE, Prepared
from lbc.sparsity.pattern import Pattern
from lbc.training.fork_points import describe_kept
from lbc_gui.experiment.changes_bar import ChangesBar, needs_new_run
from lbc_gui.experiment.find_box import FindBox, bring_up
from lbc_gui.experiment.form import ExperimentForm
from lbc_gui.experiment.layer_table import LayerTable
from lbc_gui.experiment.pattern_gain import GainDelegate
from lbc_gui.experiment.schedule_preview import SchedulePreview
from lbc_gui.help.explanations import help_button
from lbc_gui.settings import EstimateChoice
from lbc_gui.theme import MARGIN
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.text import Label

if TYPE_CHECKING:
    from lbc.models.layer_cost import LayerRow
    from lbc.training.preparation import Preview
    from lbc_gui.experiment.vary_box import VaryBox

SETTLE_MILLISECONDS = 200
"""How long after the last change the model is examined."""

LEAST_SETTINGS = 84
"""Pixels of three settings. Where there is less room, the whole panel scrolls."""

PANEL_WIDTH = 290
"""Pixels below which labels and editors would be cut."""


class ExperimentPanel(QWidget):
    """Edits an experiment and shows at once what it implies."""

    edited = Signal()
    """The user changed something; ``experiment`` says whether it is valid."""
    settled = Signal(object)
    """The Experiment shortly after the last change; None if it is invalid."""
    variations_requested = Signal(object, int)
    """Values of settings by dotted key, and the number of seeds, to be queued."""

    vary: VaryBox
    """Built when it is first needed."""

    def __init__(self, choice: Callable[[], EstimateChoice] = EstimateChoice) -> None:
        """``choice`` returns for which card gains are estimated."""
        super().__init__()
        self.form = ExperimentForm(self)
        self.form.hide()
        box = self.form.editor("pattern")
        assert isinstance(box, QComboBox)
        self._gains = GainDelegate(box, choice)
        self.preview = SchedulePreview()
        self.layers = LayerTable()
        self.changes = ChangesBar()
        self.changes.revert_requested.connect(self.form.revert)
        self.find_box = FindBox()
        self.find_box.textChanged.connect(self._find)
        self.find_box.returnPressed.connect(self.form.focus_first)
        self._found = Label(margin=MARGIN, wordWrap=True)
        self._found.hide()
        self._said, self.facts = "", Label(wordWrap=True)
        self.facts.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._note = Label(wordWrap=True)
        self._note.hide()
        self.problem = Label(wordWrap=True)
        self.problem.setObjectName("problem")
        self.refused = ""
        """Why the experiment, whose settings are valid, cannot run here."""
        self._prepared: tuple[Experiment, Prepared] | None = None
        self._torch_loaded = False
        self._listed: object = None
        """Model and data of the layers that are listed."""
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MILLISECONDS)
        self._settle.timeout.connect(self._settled)
        self.form.edited.connect(self._form_edited)
        self.form.restored.connect(self._reveal)
        self.layers.overridden.connect(self.form.set_layers)
        self.form.menu.vary_requested.connect(self._vary)
        self._scroll = scroll = QScrollArea(widgetResizable=True)
        scroll.setFrameShape(QScrollArea.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(self.form.other_box)
        scroll.setMinimumHeight(LEAST_SETTINGS)
        policy = QSizePolicy.Policy
        self.form.pattern_box.setSizePolicy(policy.Preferred, policy.Fixed)  # or its rows overlap
        settings, corner = QWidget(), QWidget()
        column(self._found, (scroll, 1), on=settings)
        self.tabs = tabs = QTabWidget(documentMode=True)
        tabs.addTab(settings, "Settings")
        tabs.addTab(self.layers, "Layers")
        row(self.find_box, help_button("Experiment"), on=corner)
        tabs.setCornerWidget(corner)
        self.setMinimumWidth(PANEL_WIDTH)
        # Sentences are below what is edited: it must not move under the pointer.
        above = (self.changes, self.form.pattern_box, self.preview)
        below = (self.facts, self._note, self.problem)
        self._layout = column(*above, (tabs, 1), *below, on=self, margin=MARGIN)

    @property
    def experiment(self) -> Experiment | None:
        """The experiment as edited; None while it is invalid."""
        return None if self.refused else self.form.experiment

    @property
    def actions_(self) -> list[QAction]:
        """What the menu Edit offers."""
        history = self.form.history
        return [history.undo, history.redo, self.form.menu.vary, self.find_box.action]

    def compare_with(self, experiment: Experiment) -> None:
        """A run of ``experiment`` begins: what differs from it is a change."""
        self.form.compare_with(experiment)
        self.layers.compare()
        self._show_problems()

    def offer_to_apply(self, run: Experiment | None) -> None:
        """Offer to apply the changes to a run in training, if it can take all of them."""
        keys = list(changed_keys(run, self.experiment)) if run and self.experiment else []
        others = [self.form.label(key) for key in keys if key not in STEERABLE]
        self.changes.offer_to_apply(bool(keys), others)
        self._note.setText(needs_new_run(others))
        self._note.setVisible(bool(others))

    def show_experiment(self, experiment: Experiment) -> None:
        self.form.show_experiment(experiment)
        self._show_implications()

    def show_prepared(self, experiment: Experiment, prepared: Prepared) -> None:
        """A run is prepared: torch is loaded, and the layers of an external model are known."""
        self._prepared, self._torch_loaded = (experiment, prepared), True
        self._show_implications()

    def show_unprepared(self) -> None:
        """A run could not be prepared; torch is loaded nevertheless."""
        self._torch_loaded = True
        self._show_implications()

    @Slot()
    def show_gains(self) -> None:
        """Estimate the gain of N:M on the card that is chosen now; once the window is complete."""
        self._gains.enabled = True
        self._show_facts()

    @Slot(str)
    def _vary(self, path: str) -> None:
        """Ask for the values of a setting, below the settings."""
        if not hasattr(self, "vary"):
            from lbc_gui.experiment.vary_box import VaryBox

            self.vary = VaryBox()
            self.vary.queue_requested.connect(self.variations_requested)
            self._layout.insertWidget(self._layout.indexOf(self.facts), self.vary)
        label, value = self.form.describe(path)
        self.vary.allow(self.experiment is not None)
        self.vary.add(path, label, value)

    @Slot()
    def _form_edited(self) -> None:
        self.refused = ""
        self._show_schedule()
        self._show_problems()
        self._settle.start()
        self.edited.emit()

    @Slot()
    def _settled(self) -> None:
        self._show_implications()
        self.settled.emit(self.experiment)

    def _show_implications(self) -> None:
        self._show_model()
        self._show_schedule()
        self._show_problems()

    def _show_schedule(self) -> None:
        experiment = self.form.experiment
        if experiment is not None:
            self.preview.show_schedule(
                self._weights_by_pattern(experiment),
                experiment.method,
                experiment.schedule.as_schedule(),
                experiment.training.epochs,
                by_step=experiment.schedule.every == "step",
            )

    def _weights_by_pattern(self, experiment: Experiment) -> dict[Pattern, int]:
        """The weights under each N:M, most first, by the layers that are listed."""
        weights: dict[Pattern, int] = {}
        for plan in self.layers.plans:
            if plan.pattern is not None:
                pattern = plan.pattern if plan.overridden else experiment.pattern
                weights[pattern] = weights.get(pattern, 0) + plan.weights
        ordered = sorted(weights.items(), key=lambda item: -item[1])
        return dict(ordered) or {experiment.pattern: 1}

    def _show_problems(self) -> None:
        problems = [*self.form.problems, *([self.refused] if self.refused else [])]
        self.problem.setText("\n".join(problems))
        self.problem.setVisible(bool(problems))
        valid = self.experiment is not None
        self.changes.show_changes(self.form.changes, valid)
        if hasattr(self, "vary"):
            self.vary.allow(valid)

    def changeEvent(self, event: QEvent) -> None:
        super().changeEvent(event)
        if event.type() == QEvent.Type.PaletteChange and hasattr(self, "form"):
            self.form.show_marks()

    @Slot(str)
    def _find(self, text: str) -> None:
        found = self.form.show_matching(text)
        self._found.setText("\n".join(self.form.unused) if found else "No setting matches")
        self._found.setVisible(bool(self._found.text()))
        self.tabs.setCurrentIndex(0)

    @Slot(str)
    def _reveal(self, path: str) -> None:
        """Show the setting that undo or redo has changed."""
        bring_up(self)
        if path == "layers":
            self.tabs.setCurrentWidget(self.layers)
            return
        editor = self.form.editor(path)
        if editor.isHidden():
            self.find_box.clear()
        if self.form.other_box.isAncestorOf(editor):
            self.tabs.setCurrentIndex(0)
            # When rows that have appeared have their places.
            QTimer.singleShot(0, self, lambda: self._scroll.ensureWidgetVisible(editor))

    def _show_model(self) -> None:
        experiment = self.form.experiment
        self.refused = ""
        if experiment is None:
            return
        count = experiment.pattern.count
        said = f"{experiment.pattern}: {count:,} combinations in every block."
        if isinstance(experiment.model, EXTERNAL):
            said += self._describe_external(experiment)
        elif self._torch_loaded:
            try:
                said += self._describe_own(experiment)
            except (ValueError, OSError) as error:
                self.refused = self.refused or str(error)
                if self._listed != (experiment.model, experiment.data):
                    self._list((), None)
        self._said = said
        self._show_facts()

    def _show_facts(self) -> None:
        experiment = self.form.experiment
        if experiment is not None:
            self.facts.setText(self._said + self._gains.sentence(experiment.pattern))

    def _describe_external(self, experiment: Experiment) -> str:
        if self._prepared is None or _implied(self._prepared[0]) != _implied(experiment):
            self._list((), None)
            return " The network is built, and its layers listed, when you press Run or Reset."
        return self._describe(self._prepared[1], experiment)

    def _describe_own(self, experiment: Experiment) -> str:
        # Here, because they load torch, which the first window does not wait for.
        from lbc.data import DataError, describe, usual_shape
        from lbc.training.preparation import preview

        assumed = ""
        try:
            shape, classes = describe(experiment.data)
        except DataError as error:
            self.refused = str(error)
            usual = usual_shape(experiment.data)
            if usual is None:
                raise ValueError from error
            shape, classes = usual
            size = "×".join(map(str, shape))
            assumed = f" Without the data, images of {size} and {classes:,} classes are assumed."
        return self._describe(preview(experiment, shape, classes), experiment) + assumed

    def _list(self, rows: Sequence[LayerRow], listed: object) -> None:
        self._listed = listed
        self._gains.show_layers(rows)
        self.layers.show_rows(rows, bool(self.form.changes))

    def _describe(self, seen: Preview | Prepared, experiment: Experiment) -> str:
        rows = seen.table.rows
        self._list(rows, (experiment.model, experiment.data))
        sparse = sum(row.plan.pattern is not None for row in rows)
        plans = [row.plan for row in rows]
        kept = describe_kept(experiment, plans, seen.parameters, seen.form)
        return (
            f" {sparse} sparse and {len(rows) - sparse} dense layers, "
            f"{seen.parameters:,} parameters. {_scores(seen)} {kept}"
        ).rstrip()


def _scores(seen: Preview | Prepared) -> str:
    if seen.form is None:
        return f"No scores are trained; masks take {_memory(seen.score_memory)}."
    return (
        f"Scores {seen.form.replace('_', ' ')}: {_memory(seen.score_memory)} with gradients and "
        "optimiser state."
    )


def _implied(experiment: Experiment) -> tuple[object, ...]:
    """The settings that decide what ``Prepared`` says of the network."""
    return (
        *(experiment.data, experiment.model, experiment.pattern, experiment.layers),
        *(experiment.skip, experiment.scores, experiment.optimizer.name, experiment.method),
    )


def _memory(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
