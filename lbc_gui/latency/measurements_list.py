"""The list of measurements: which one is open, which are drawn, which one is the baseline."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtCore import QSize, Qt, Signal, Slot
from PySide6.QtWidgets import QListWidget, QListWidgetItem, QWidget

from lbc.latency.measurement import Measurement
from lbc_gui.icons import square
from lbc_gui.latency.plots import Numbered, colour_of
from lbc_gui.theme import TIGHT


class MeasurementsList(QListWidget):
    """One line each; ticked ones are drawn side by side, the current one fills the table."""

    changed = Signal()
    """The list, the ticks, the current one or the baseline have changed."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._measurements: list[Measurement] = []
        self._baseline = -1
        self.setAccessibleName("Measurements")
        self.setToolTip("Ticked measurements are drawn together; the chosen one fills the table")
        self.setIconSize(QSize(10, 10))
        self.setWordWrap(True)
        self.setSpacing(TIGHT)
        self.currentRowChanged.connect(self._touched)
        self.itemChanged.connect(self._touched)

    @property
    def current(self) -> Measurement | None:
        row = self.currentRow()
        return self._measurements[row] if 0 <= row < len(self._measurements) else None

    @property
    def all(self) -> tuple[Measurement, ...]:
        return tuple(self._measurements)

    @property
    def drawn(self) -> tuple[Numbered, ...]:
        """The ticked ones with their place in the list, the current one first."""
        ticked = [
            (row, measurement)
            for row, measurement in enumerate(self._measurements)
            if self.item(row).checkState() == Qt.CheckState.Checked
        ]
        return tuple(sorted(ticked, key=lambda at: at[0] != self.currentRow()))

    @property
    def baseline(self) -> Measurement | None:
        return self._measurements[self._baseline] if self._baseline >= 0 else None

    def add(self, measurements: Sequence[Measurement]) -> None:
        """Append measurements and open the last."""
        for measurement in measurements:
            self._measurements.append(measurement)
            self._append(measurement)
        if measurements:
            self.setCurrentRow(self.count() - 1)
            self.changed.emit()

    def grow(self, measurement: Measurement) -> None:
        """Update a measurement that has more results, or add it if it is new."""
        for row, old in enumerate(self._measurements):
            if _same(old, measurement):
                self._measurements[row] = measurement
                self.changed.emit()
                return
        self.add([measurement])

    @Slot()
    def pin_baseline(self) -> None:
        """Make the current one the baseline; if it is already, there is none."""
        row = self.currentRow()
        self._baseline = -1 if row == self._baseline else row
        self._retitle()
        self.changed.emit()

    @Slot()
    def remove_current(self) -> None:
        row = self.currentRow()
        if row < 0:
            return
        del self._measurements[row]
        if self._baseline >= row:
            self._baseline = -1 if self._baseline == row else self._baseline - 1
        self.takeItem(row)
        self._retitle()
        self.changed.emit()

    def _append(self, measurement: Measurement) -> None:
        item = QListWidgetItem()
        item.setFlags(item.flags() | Qt.ItemFlag.ItemIsUserCheckable)
        item.setCheckState(Qt.CheckState.Checked)
        self.blockSignals(True)
        self.addItem(item)
        self.blockSignals(False)
        self._retitle()

    def _retitle(self) -> None:
        self.blockSignals(True)
        for row, measurement in enumerate(self._measurements):
            pinned = "★ " if row == self._baseline else ""
            item = self.item(row)
            where = f"{measurement.source}, {measurement.when}"
            item.setText(f"{pinned}{measurement.title}\n{where}")
            item.setIcon(square(colour_of, row))
        self.blockSignals(False)

    @Slot()
    def _touched(self, *_: object) -> None:
        self.changed.emit()


def _same(one: Measurement, other: Measurement) -> bool:
    return (one.source, one.time, one.backend, one.dtype) == (
        other.source,
        other.time,
        other.backend,
        other.dtype,
    )
