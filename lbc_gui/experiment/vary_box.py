"""The values of settings to vary: every combination becomes a run in the queue."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from functools import partial

from PySide6.QtCore import Qt, Signal, Slot
from PySide6.QtGui import QKeyEvent
from PySide6.QtWidgets import QFormLayout, QFrame, QLineEdit, QWidget

from lbc.queue.entries import QueueError
from lbc.queue.variations import MOST_RUNS, parse_values
from lbc_gui.theme import GAP, TIGHT
from lbc_gui.widgets.buttons import push_button, tool_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.number_boxes import NumberBox, to_text
from lbc_gui.widgets.text import Label, plain

TIP = (
    "Values separated by commas, as in an experiment, or ranges: 4..8 (whole numbers), "
    "0.1..0.3/5 (five values), 1e-4..0.1/4log (four at equal ratios)"
)


class VaryBox(QFrame):
    """Hidden until a setting is added; Return queues the runs, Escape takes a setting out."""

    queue_requested = Signal(object, int)
    """The values of each setting, by dotted key, and the number of seeds."""

    def __init__(self) -> None:
        super().__init__()
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self.values: dict[str, QLineEdit] = {}
        self._fields: dict[str, tuple[QWidget, QWidget]] = {}
        self.seeds = NumberBox(whole=True, least=1)
        self.seeds.setToolTip("Number of seeds for each choice: the one above, and the next ones")
        self.seeds.setAccessibleName("Seeds")
        self.seeds.enter(1)
        self.seeds.on_change(self._show)
        self.problem = Label(wordWrap=True)
        self.problem.setObjectName("problem")
        self.queue = push_button("", "Train every combination, one after the other", self._queue)
        self._valid = True
        settings = QWidget()
        self._rows = QFormLayout(settings)
        self._rows.setContentsMargins(0, 0, 0, 0)
        self._rows.setSpacing(TIGHT)
        below = row(Label("Seeds"), self.seeds, None, self.queue)
        below.setSpacing(GAP)
        layout = column(settings, below, self.problem, on=self)
        layout.setContentsMargins(GAP, TIGHT, GAP, TIGHT)
        layout.setSpacing(TIGHT)
        self.clear()

    def add(self, key: str, label: str, value: object) -> None:
        """Vary a setting, too; its present value is shown, and the next key replaces it."""
        if key not in self.values:
            edit = QLineEdit(_first_text(value))
            edit.setToolTip(plain(TIP))
            edit.setAccessibleName(f"Values of {label}")
            edit.textChanged.connect(self._show)
            remove = tool_button(
                f"Leave {label} as it is", "Do not vary it", partial(self._remove, key), "close"
            )
            remove.setFocusPolicy(Qt.FocusPolicy.NoFocus)
            remove.setAutoRaise(True)
            title, field = Label(label), QWidget()
            row(edit, remove, on=field)
            self._rows.addRow(title, field)
            self._fields[key] = (title, field)
            before = next(reversed(self.values.values()), None)
            if before is not None:
                self.setTabOrder(before, edit)
            self.setTabOrder(edit, self.seeds)
            self.values[key] = edit
        self.show()
        self._show()
        self.values[key].setFocus()
        self.values[key].selectAll()

    @Slot()
    def clear(self) -> None:
        """Vary nothing, and hide."""
        for key in tuple(self.values):
            self._remove(key)
        self.hide()

    def allow(self, valid: bool) -> None:
        """Whether the form holds an experiment that can be varied."""
        self._valid = valid
        self._show()

    def show_problem(self, sentence: str) -> None:
        self.problem.setText(sentence)
        self.problem.setVisible(bool(sentence))

    def keyPressEvent(self, event: QKeyEvent) -> None:
        if event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter):
            self._queue()
        elif event.key() == Qt.Key.Key_Escape:
            focused = [key for key, edit in self.values.items() if edit is self.focusWidget()]
            for key in focused or tuple(self.values):
                self._remove(key)
        else:
            super().keyPressEvent(event)

    def _remove(self, key: str) -> None:
        if key not in self.values:
            return  # a button that was clicked twice
        del self.values[key]
        title, field = self._fields.pop(key)
        self._rows.takeRow(field)
        for widget in (title, field):
            widget.hide()
            widget.deleteLater()  # later, because the button of the row may be the sender
        if self.values:
            self._show()
        else:
            self.hide()

    @Slot()
    def _show(self, *_: object) -> None:
        """Show how many runs it makes, or why none."""
        try:
            count = self._count(self._parsed(), self.seeds.whole_number("The number of seeds"))
        except ValueError as error:
            self.show_problem(str(error))
            count = 0
        else:
            self.show_problem("")
        self.queue.setText(f"Queue {count:,} run{'s' if count != 1 else ''}")
        self.queue.setEnabled(count > 0 and self._valid)

    def _parsed(self) -> dict[str, Sequence[object]]:
        return {key: parse_values(edit.text()) for key, edit in self.values.items()}

    def _count(self, values: dict[str, Sequence[object]], seeds: int) -> int:
        count = math.prod(map(len, values.values())) * seeds
        if count > MOST_RUNS:
            raise QueueError(f"These are {count:,} runs: at most {MOST_RUNS:,} are possible.")
        return count

    @Slot()
    def _queue(self) -> None:
        if self.queue.isEnabled():
            self.queue_requested.emit(self._parsed(), self.seeds.whole_number("seeds"))


def _first_text(value: object) -> str:
    """The text of a value, or both values of a check box."""
    if isinstance(value, bool):
        return "false, true"
    text = to_text(value) if isinstance(value, int | float) else str(value)
    try:
        read = parse_values(text)
    except QueueError:
        read = ()
    return text if read == (value,) else json.dumps(value)
