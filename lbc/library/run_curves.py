"""The metrics of runs as curves, read from their folders as they grow."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from lbc.pictures.curve import Curve, Floats, singles
from lbc.runs.metrics import LARGEST_COUNT
from lbc.runs.record_tail import RecordTail, read_first

Axis = Literal["step", "epoch", "time"]

STEPS, EPOCHS = "steps.records", "epochs.records"

KEPT_BYTES = 64 << 20
"""Memory for curves that are not on screen, so that going back to a metric is quick."""


@dataclass(frozen=True)
class Metric:
    """A column of a record file, ``factor`` times which has the ``unit``.

    ``stepped``: a value holds until the next.
    """

    name: str
    title: str
    file: str = EPOCHS
    unit: str = ""
    factor: float = 1.0
    stepped: bool = False

    @property
    def label(self) -> str:
        return f"{self.title} ({self.unit})" if self.unit else self.title


METRICS = {
    metric.name: metric
    for metric in (
        Metric("accuracy", "Test accuracy", unit="%", factor=100),
        Metric("test_loss", "Test loss"),
        Metric("train_loss", "Training loss of the epoch"),
        Metric("loss", "Training loss of the step", STEPS),
        Metric("lr", "Learning rate", STEPS),
        Metric("live", "Live combinations per block", stepped=True),
        Metric("density", "Density", unit="%", factor=100, stepped=True),
    )
}


@dataclass(frozen=True)
class CurveKey:
    """One curve: a metric of a run over an axis."""

    folder: Path
    metric: Metric
    axis: Axis


class RunCurves:
    """Reads curves, and only what has been added to one that was read before."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._read: dict[CurveKey, _GrowingCurve] = {}
        self._x: Floats = np.empty(0)

    def changed(self, key: CurveKey) -> bool:
        """Whether the file of a curve has changed since it was read, or it never was."""
        return key not in self._read or self._read[key].tail.changed

    def read(self, key: CurveKey) -> Curve:
        """The curve as it is now.

        Raises OSError if a file cannot be read, and ValueError if it is damaged.
        """
        growing = self._read.pop(key, None) or _GrowingCurve(key)
        self._read[key] = growing  # the last one read
        if growing.tail.changed:
            growing.update(self._x)
        if growing.error is not None:
            raise growing.error
        self._x = growing.rows.x
        return growing.curve

    def forget(self, used: Collection[CurveKey]) -> None:
        """Forget the curves that were read longest ago, but none that is still used."""
        spare = [key for key in self._read if key not in used]
        size = sum(self._read[key].nbytes for key in spare)
        for key in spare:
            if size <= self._kept_bytes:
                return
            size -= self._read.pop(key).nbytes


class _GrowingCurve:
    """A curve whose points are added as its file grows."""

    def __init__(self, key: CurveKey) -> None:
        self._metric, self._unit = key.metric, 1.0
        self._steps: Path | None = None
        column: str = {"step": "step", "epoch": "epoch", "time": "seconds"}[key.axis]
        if key.metric.file == EPOCHS and key.axis == "step":
            column, self._steps = "epoch", key.folder / STEPS
        self.tail = RecordTail(key.folder / key.metric.file, (column, key.metric.name))
        self.rows = self.curve = Curve(np.empty(0), np.empty(0, dtype=np.float32))
        self.error: OSError | ValueError | None = None

    @property
    def nbytes(self) -> int:
        return self.curve.x.nbytes + self.curve.y.nbytes

    def update(self, other: Floats) -> None:
        """Read what was added, or find the ``error``.

        ``other`` takes the place of an equal x, so that runs share it.
        """
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                self._update(other)
            self.error = None
        except (OSError, ValueError) as error:
            self.error = error
            self.tail.restart()

    def _update(self, other: Floats) -> None:
        same, (new_x, new_y) = self.tail.read()
        if self._steps and len(new_x) and not len(self.rows):
            step, epoch = read_first(self._steps, ("step", "epoch"))
            if not (1 <= step < LARGEST_COUNT and 0 < epoch < LARGEST_COUNT):
                raise ValueError(f"{self._steps} is damaged: its first row is no step.")
            self._unit = round(step / epoch)
        x, y = self._unit * new_x, singles(self._metric.factor * new_y)
        if same:
            x, y = np.concatenate([self.rows.x, x]), np.concatenate([self.rows.y, y])
        if len(x) and not ((np.diff(x) >= 0).all() and np.isfinite(x[[0, -1]]).all()):
            raise ValueError(f"{self.tail.path} is damaged: its rows are in disorder.")
        self.rows = self.curve = Curve(other if np.array_equal(x, other) else x, y)
        if self._metric.stepped and len(x):
            self.curve = Curve(np.repeat(x, 2)[1:], np.repeat(y, 2)[:-1])
