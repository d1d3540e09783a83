"""Chooses what the mask on screen is compared with: another moment, or another run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PySide6.QtCore import Signal, Slot
from PySide6.QtWidgets import QFileDialog, QSizePolicy, QWidget

from lbc.pictures.mask_snapshot import Against
from lbc.runs.history_reader import MomentInfo
from lbc_gui.run.timeline import MomentTrack
from lbc_gui.widgets.buttons import combo_box, tool_button
from lbc_gui.widgets.layouts import row
from lbc_gui.widgets.text import Label

NOTHING, MOMENT, RUN = range(3)


class CompareBar(QWidget):
    """Shown while something is compared; ``choice``, which says what, is placed elsewhere."""

    changed = Signal()

    def __init__(self, runs: Path) -> None:
        super().__init__()
        self._runs = runs
        self._folder: Path | None = None
        self.choice = combo_box(
            ("compare: nothing", "with a moment", "with a run…"),
            "Compare the mask with that of another moment, or of another run",
        )
        self.choice.activated.connect(self._chosen)
        self.track = MomentTrack()
        self.track.setAccessibleName("Moment to compare with")
        self.track.setToolTip("The moment to compare with; drag, or use the arrow keys")
        self.track.moved.connect(self.go)
        self._where = Label()
        self.other = tool_button("Choose…", "Choose the folder of another run", self.choose_run)
        tip = "Draw what differs, or both pictures in the same colours"
        self.way = combo_box(("difference", "side by side"), tip)
        self.way.setSizePolicy(QSizePolicy.Policy.Fixed, QSizePolicy.Policy.Fixed)
        self.way.currentIndexChanged.connect(self._changed)
        row((self.track, 1), self._where, self.other, self.way, on=self)
        self.clear()

    @property
    def against(self) -> Against:
        """The moment's index, or the other run's folder; None where nothing is compared."""
        which = self.choice.currentIndex()
        if which == MOMENT:
            return self.track.at
        return self._folder if which == RUN else None

    @property
    def beside(self) -> bool:
        return self.against is not None and self.way.currentIndex() == 1

    @property
    def words(self) -> str:
        """What is compared with, within a sentence."""
        if isinstance(self.against, Path):
            return f"in {self.against.name}"
        moments, at = self.track.moments, self.track.at
        if at is not None and at < len(moments):
            return f"at epoch {moments[at].epoch:.2f}"
        return "there"

    def show_moments(self, moments: Sequence[MomentInfo], epochs: float) -> None:
        self.track.show_moments(moments, epochs, self.track.at)
        self._show()

    def clear(self) -> None:
        """Forget the moments of the run before; another run to compare with stays."""
        self.track.show_moments((), 1.0, at=0)
        self._show()

    @Slot(int)
    def go(self, at: int) -> None:
        """Compare with a moment of the run."""
        self.track.at = at
        self._changed()

    @Slot()
    def choose_run(self) -> None:
        start = self._folder or self._runs
        folder = QFileDialog.getExistingDirectory(
            self, "Compare with a run", str(start) if start.is_dir() else ""
        )
        if folder:
            self.compare_with(Path(folder))
        elif self._folder is None:
            self.choice.setCurrentIndex(NOTHING)
            self._changed()

    def compare_with(self, folder: Path) -> None:
        self._folder = folder
        self.choice.setCurrentIndex(RUN)
        self._changed()

    def restore(self, against: Against) -> None:
        """Compare with what ``against`` was before, if that was anything."""
        if isinstance(against, Path):
            self.compare_with(against)
        elif against is not None:
            self.choice.setCurrentIndex(MOMENT)
            self.go(against)

    @Slot(int)
    def _chosen(self, index: int) -> None:
        if index == RUN:
            self.choose_run()
        else:
            self._changed()

    @Slot()
    def _changed(self, _index: int = 0) -> None:
        self._show()
        self.changed.emit()

    def _show(self) -> None:
        which = self.choice.currentIndex()
        self.setVisible(which != NOTHING)
        self.track.setVisible(which == MOMENT)
        self.track.setEnabled(bool(self.track.moments))
        self.track.update()
        self.other.setVisible(which == RUN)
        self._where.setText(self.words if which == RUN or self.track.moments else "no moments yet")
