"""How many settings differ from the run on screen, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QWidget

from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import push_button
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.text import Label, plain


class ChangesBar(QWidget):
    """Its room stays when nothing has changed: the form must not move under the pointer."""

    apply_requested = Signal()
    run_requested = Signal()
    revert_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.label = Label()
        self.apply = push_button("Apply now", "", self.apply_requested)
        self.apply.setMinimumWidth(self.apply.sizeHint().width())
        self.apply.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # else the next setting would get it
        self.apply.hide()
        self.run = push_button(
            "Run them", "Train the changed experiment from its start", self.run_requested
        )
        self.revert = push_button("Revert", "Take all changes back", self.revert_requested)
        self._run_width = self.run.sizeHint().width()  # also of "Run it"
        for button in (self.run, self.revert):
            policy = button.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            button.setSizePolicy(policy)
        row((self.label, 1), self.apply, self.run, self.revert, on=self).setSpacing(TIGHT)
        self.show_changes((), valid=True)

    def show_changes(self, changes: Sequence[str], valid: bool) -> None:
        """Show sentences, one for each change; only a ``valid`` experiment can be run."""
        count = len(changes)
        self.label.setText(f"{count or 'No'} change{'s' if count != 1 else ''}")
        self.label.setToolTip(plain("\n".join(changes) or "The form is as in the run on screen"))
        self.label.setEnabled(count > 0)
        self._count = count
        self._name_run()
        self.run.setEnabled(valid)
        for button in (self.run, self.revert):
            button.setVisible(count > 0)

    def _name_run(self) -> None:
        """Beside a third button there is room for one word."""
        beside = not self.apply.isHidden()
        self.run.setText("Run" if beside else "Run it" if self._count == 1 else "Run them")
        self.run.setMinimumWidth(0 if beside else self._run_width)

    def offer_to_apply(self, offered: bool, others: Sequence[str]) -> None:
        """Offer to apply the changes to the run in training; ``others`` need a new run."""
        self.apply.setVisible(offered)
        self._name_run()
        self.apply.setEnabled(not others)
        self.apply.setToolTip(
            plain(needs_new_run(others) or "Train on with the changed settings, from the next step")
        )


def needs_new_run(labels: Sequence[str]) -> str:
    """A sentence on settings that cannot change during a run; empty if there are none."""
    if not labels:
        return ""
    named = " and ".join(filter(None, [", ".join(labels[:-1]), labels[-1]]))
    return f"{named} cannot change during a run: start a new run, or fork this one."
