"""How many settings differ from the run on screen, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import Signal
from PySide6.QtWidgets import QWidget

from lbc_gui.theme import TIGHT
from lbc_gui.widgets.buttons import push_button
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.text import Label, plain


class ChangesBar(QWidget):
    """Its room stays when nothing has changed: the form must not move under the pointer."""

    run_requested = Signal()
    revert_requested = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.label = Label()
        self.run = push_button("Run them", "Train the changed experiment", self.run_requested)
        self.revert = push_button("Revert", "Take all changes back", self.revert_requested)
        self.run.setMinimumWidth(self.run.sizeHint().width())  # also of "Run it"
        for button in (self.run, self.revert):
            policy = button.sizePolicy()
            policy.setRetainSizeWhenHidden(True)
            button.setSizePolicy(policy)
        row((self.label, 1), self.run, self.revert, on=self).setSpacing(TIGHT)
        self.show_changes((), valid=True)

    def show_changes(self, changes: Sequence[str], valid: bool) -> None:
        """Show sentences, one for each change; only a ``valid`` experiment can be run."""
        count = len(changes)
        self.label.setText(f"{count or 'No'} change{'s' if count != 1 else ''}")
        self.label.setToolTip(plain("\n".join(changes) or "The form is as in the run on screen"))
        self.label.setEnabled(count > 0)
        self.run.setText("Run it" if count == 1 else "Run them")
        self.run.setEnabled(valid)
        for button in (self.run, self.revert):
            button.setVisible(count > 0)
