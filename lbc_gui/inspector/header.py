"""The lines above the inspected checkpoint: files, the N:M to check against, progress."""

from __future__ import annotations

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QSizePolicy, QWidget

from lbc.files.printable import printable
from lbc.inspection.checkpoint import PruningRecord
from lbc.sparsity.pattern import Pattern
from lbc_gui.help.explanations import help_button
from lbc_gui.inspector.reader_thread import Opening
from lbc_gui.widgets.buttons import combo_box, make_editable, push_button
from lbc_gui.widgets.layouts import column, row
from lbc_gui.widgets.pattern_choices import PATTERNS
from lbc_gui.widgets.progress_bar import ProgressBar
from lbc_gui.widgets.text import Label, plain

DETECTED = "each layer's own"

STEPS = 1000
"""Steps of the progress bar: numbers of weights would not fit its integers."""


class Header(QWidget):
    """Names the open files, with a button for each command."""

    open_asked = Signal()
    compare_asked = Signal()
    alone_asked = Signal()
    """End the comparison."""
    prune_asked = Signal()
    """Prune the open checkpoint at once."""
    fine_tune_asked = Signal()
    """Train the open checkpoint, which was pruned at once, on."""
    cancel_asked = Signal()
    pattern_chosen = Signal(object)
    """Pattern, or None for each layer's own."""
    failed = Signal(str, str)

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.pattern: Pattern | None = None
        self.open = push_button(
            "Open…",
            "Open a file of torch, safetensors, ONNX or npz, or an index of shards",
            self.open_asked,
        )
        self.compare = push_button(
            "Compare with…", "Open a second checkpoint beside this one", self.compare_asked
        )
        self.alone = push_button(
            "End comparison", "Show the first checkpoint only", self.alone_asked
        )
        self.prune = push_button(
            "Prune…", "Prune this model at once, by Wanda, SparseGPT and others", self.prune_asked
        )
        self.fine_tune = push_button(
            "Fine-tune",
            "Fill the form with what trains this pruned model on, under its mask",
            self.fine_tune_asked,
        )
        self.cancel = push_button(
            "Cancel", "Stop reading; what has been read stays", self.cancel_asked
        )
        tip = (
            "The N:M that every layer is checked against; type any other, such as 3:9 or, for "
            "pairs of weights, 8:16x2"
        )
        self.patterns = combo_box((DETECTED, *PATTERNS), tip)
        make_editable(self.patterns)
        self.patterns.setMinimumContentsLength(len(DETECTED))
        self._files = Label(wordWrap=True)
        self._files.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self._progress = ProgressBar()
        self._progress.setFixedWidth(190)
        self._lay_out()
        self.patterns.activated.connect(self._chosen)
        edit = self.patterns.lineEdit()
        assert edit is not None
        edit.editingFinished.connect(self._chosen)
        self.show_opening(None)
        self.show_running(False)

    @property
    def described(self) -> str:
        """What is said of the open files."""
        return self._files.text()

    def show_opening(self, opening: Opening | None, pruned: PruningRecord | None = None) -> None:
        """Name the files that are open, and say how the first was pruned, if it was at once."""
        self.compare.setEnabled(opening is not None)
        self.prune.setEnabled(opening is not None)
        self.fine_tune.setVisible(pruned is not None)
        self.alone.setVisible(opening is not None and opening.against is not None)
        self._files.setVisible(opening is not None)
        if opening is None:
            return
        text, tip = opening.file.name, str(opening.file)
        if (other := opening.against) is not None:
            if other.name == text:  # as those of two runs are
                text = f"{opening.file.parent.name}/{text} against {other.parent.name}/{text}"
            else:
                text += f" against {other.name}"
            tip += f"\nagainst {other}"
        if pruned is not None:
            text += (
                f". Pruned by {printable(pruned.method)}: {pruned.before:.2%} accuracy before, "
                f"{pruned.after:.2%} after"
            )
        self._files.setText(text)
        self._files.setToolTip(plain(tip))

    def show_running(self, running: bool) -> None:
        """Show the progress and its button while something is read."""
        self._progress.setVisible(running)
        self.cancel.setVisible(running)

    def show_progress(self, done: int, total: int) -> None:
        """Show how many of the weights have been read; a total of 0: the file is being opened."""
        if not total:
            self._progress.setFormat("Opening…")
            self._progress.show_done(0, STEPS)
            return
        self._progress.show_done(STEPS * done // total, STEPS)
        self._progress.setFormat(f"{done / 1e6:.1f} of {total / 1e6:.1f} M weights")

    @Slot()
    def _chosen(self, *_: object) -> None:
        text = self.patterns.currentText().strip()
        try:
            pattern = None if text in ("", DETECTED) else Pattern.parse(text)
        except ValueError as error:
            self.patterns.setEditText(str(self.pattern or DETECTED))
            self.failed.emit(str(error), "")
            return
        self.patterns.setEditText(str(pattern or DETECTED))
        if pattern != self.pattern:
            self.pattern = pattern
            self.pattern_chosen.emit(pattern)

    def _lay_out(self) -> None:
        check = Label("Check against:"), self.patterns, help_button("Inspect")
        buttons = row(self.open, self.compare, self.alone, self.prune, self.fine_tune, None, *check)
        column(buttons, row((self._files, 1), self._progress, self.cancel), on=self)
