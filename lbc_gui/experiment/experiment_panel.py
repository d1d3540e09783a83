"""The Experiment dock: N:M and schedule with what they imply, then everything else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from PySide6.QtCore import QEvent, Qt, QTimer, Signal, Slot
from PySide6.QtGui import QAction
from PySide6.QtWidgets import QComboBox, QSizePolicy, QTabWidget, QWidget

from lbc.config import EXTERNAL, Experiment
from lbc.runs.effective_experiment import changed_keys
from lbc.runs.events import STEERABLE, Prepared
from lbc.sparsity.pattern import Pattern
from lbc.training.fork_points import describe_kept
from lbc_gui.experiment.changes_bar import ChangesBar, needs_new_run
from lbc_gui.experiment.find_box import FindBox, bring_up
from lbc_gui.experiment.form import ExperimentForm
from lbc_gui.experiment.implications import Implications, Implied
from lbc_gui.experiment.layer_table import LayerTable
from lbc_gui.experiment.pattern_gain import GainDelegate
from lbc_gui.experiment.schedule_preview import SchedulePreview
from lbc_gui.help.explanations import help_button
from lbc_gui.settings import EstimateChoice
from lbc_gui.theme import MARGIN
from lbc_gui.turns import call_later
from lbc_gui.widgets.body_area import scrolled
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.tab_order import order
from lbc_gui.widgets.text import Label

if TYPE_CHECKING:
    from lbc.models.layer_cost import LayerRow
    from lbc.training.preparation import Preview
    from lbc_gui.experiment.vary_box import VaryBox

SETTLE_MILLISECONDS = 200
"""How long after the last change the model is examined."""

LEAST_SETTINGS = 84
"""Pixels of three settings. Where there is less room, the whole panel scrolls."""

WAITS = " The network is built, and its layers listed, when you press Run or Reset."

PANEL_WIDTH = 290
"""Pixels below which labels and editors would be cut."""


class ExperimentPanel(QWidget):
    """Edits an experiment and shows at once what it implies."""

    edited = Signal()
    """The user changed something; ``experiment`` says whether it is valid."""
    examined = Signal()
    """What the experiment implies is known, also whether it can run here."""
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
        self.facts = Label(wordWrap=True)
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
        self.implications = Implications(self)
        self.implications.arrived.connect(self._examined)
        self.implications.failed.connect(self._settle_now)
        self._asked, self._gain = object(), (object(), "")
        """What was last asked and found."""
        self._settles = False
        self._settle = QTimer(self, singleShot=True, interval=SETTLE_MILLISECONDS)
        self._settle.timeout.connect(self._settled)
        self.form.edited.connect(self._form_edited)
        self.form.restored.connect(self._reveal)
        self.layers.overridden.connect(self.form.set_layers)
        self.form.menu.vary_requested.connect(self._vary)
        self._scroll = scroll = scrolled(self.form.other_box)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
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
        order(tabs.tabBar(), [corner])
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
        """Estimate the gain of N:M on the card that is chosen now; once the window is complete.

        From then on torch, which the first picture of a run on disk does not need, may be loaded.
        """
        self._gains.enabled = self._torch_loaded = True
        self._examine()

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
        self.refused, self._settles = "", False
        self._show_schedule()
        self._show_problems()
        self._settle.start()
        self.edited.emit()

    @Slot()
    def _settled(self) -> None:
        self._show_implications()
        self._settles = self.implications.running
        if not self._settles:
            self.settled.emit(self.experiment)

    def _show_implications(self) -> None:
        self._examine()
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
            call_later(self, lambda: self._scroll.ensureWidgetVisible(editor), 0)

    def _examine(self) -> None:
        """Show what is known of the network, and find out the rest."""
        experiment = self.form.experiment
        self.refused = ""
        if experiment is None:
            self.facts.setText("")  # they were those of another one
            return
        known = Implied(experiment)
        if self._prepared is not None and _implied(self._prepared[0]) == _implied(experiment):
            known = Implied(experiment, self._prepared[1])
        external = isinstance(experiment.model, EXTERNAL)
        choice = self._gains.choice() if self._gains.enabled else None
        asked = _implied(experiment), choice
        if known.seen and self._gain[0] == asked:
            self._show_implied(replace(known, gain=self._gain[1]))
        elif known.seen or (self._torch_loaded and not external):
            if known.seen:
                self._show_implied(known)
            self._asked = asked
            self.implications.ask(known, choice)
        else:
            if external:
                self._list((), None)
            self.facts.setText(self._describe(known))

    @Slot(object)
    def _examined(self, arrived: Sequence[Implied]) -> None:
        implied = arrived[-1]
        if implied.experiment != self.form.experiment:
            return  # it was edited since
        self.refused, self._gain = implied.refused, (self._asked, implied.gain)
        if self._prepared is not None and implied.seen is self._prepared[1]:
            self.facts.setText(self._describe(implied))  # its layers are listed
        else:
            self._show_implied(implied)
        self._show_schedule()
        self._show_problems()
        self.examined.emit()
        self._settle_now()

    @Slot()
    def _settle_now(self) -> None:
        """Say that the experiment has settled, if that waited for its examination."""
        if self._settles:
            self._settles = False
            self.settled.emit(self.experiment)

    def _show_implied(self, implied: Implied) -> None:
        experiment, seen = implied.experiment, implied.seen
        listed = experiment.model, experiment.data
        if seen is None and self._listed != listed:
            self._list((), None)
        elif seen is not None:
            self._list(seen.table.rows, listed)
        self.facts.setText(self._describe(implied))

    def _list(self, rows: Sequence[LayerRow], listed: object) -> None:
        self._listed = listed
        self._gains.show_layers(rows)
        self.layers.show_rows(rows, bool(self.form.changes))

    def _describe(self, implied: Implied) -> str:
        experiment, seen = implied.experiment, implied.seen
        said = f"{experiment.pattern}: {experiment.pattern.count:,} combinations in every block."
        if seen is None:
            waits = isinstance(experiment.model, EXTERNAL)
            return said + (WAITS if waits else "")
        rows = seen.table.rows
        sparse = sum(row.plan.pattern is not None for row in rows)
        plans = [row.plan for row in rows]
        kept = describe_kept(experiment, plans, seen.parameters, seen.form)
        said += (
            f" {sparse} sparse and {len(rows) - sparse} dense layers, "
            f"{seen.parameters:,} parameters. {_scores(seen)} {kept}"
        ).rstrip()
        gain = f"\nEstimated, not measured: {implied.gain}." if implied.gain else ""
        return said + implied.assumed + gain


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
        *(experiment.score_memory_limit, experiment.device),
    )


def _memory(count: int) -> str:
    for unit, size in (("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"
