"""Reads checkpoints in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path

import numpy as np

from lbc.inspection.checkpoint import OpenCheckpoint, open_checkpoint
from lbc.inspection.comparison import (
    LayerComparison,
    absolute_differences,
    compare_layer,
    compare_weights,
)
from lbc.inspection.errors import InspectionError, name_file_in_errors
from lbc.inspection.picture import Codes, difference_codes, mask_codes, sample, top_level
from lbc.inspection.rows import Rows, weight_rows
from lbc.inspection.survey import Finding, survey_kept, survey_layer
from lbc.inspection.violations import Violations, find_violations
from lbc.sparsity.pattern import Pattern
from lbc_gui.run.worker import Failed, Job, Worker, describe

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Opening:
    """What to read: a checkpoint, one to compare it with, and M to count besides the usual ones."""

    file: Path
    against: Path | None = None
    more: tuple[int, ...] = ()


@dataclass(frozen=True)
class LayerRequest:
    """A layer to draw ("" for the first), checked against a pattern; its own if None."""

    name: str
    pattern: Pattern | None


@dataclass(frozen=True)
class Listed:
    """The file is open: its layers by name, then those that only the other one holds."""

    opening: Opening
    layers: tuple[tuple[str, Shape], ...]

    @property
    def weights(self) -> int:
        return sum(prod(shape) for _, shape in self.layers)


@dataclass(frozen=True)
class LayerRead:
    """What was found in one layer; ``comparison`` if there is another checkpoint."""

    finding: Finding
    comparison: LayerComparison | None


@dataclass(frozen=True)
class LayerPicture:
    """Everything shown of one layer. Arrays are (O, kernel · I), as in ``weight_rows``.

    ``others`` and ``difference`` are None if no other checkpoint has the layer in this shape.
    """

    request: LayerRequest
    name: str
    finding: Finding
    pattern: Pattern | None
    violations: Violations | None
    rows: Rows
    codes: Codes
    top: float
    comparison: LayerComparison | None
    others: Rows | None = None
    difference: Codes | None = None
    difference_top: float = 0.0

    @property
    def shape(self) -> Shape:
        return self.finding.detection.shape


class ReaderThread(Worker):
    """Reads one opening; the layer that is ``wanted`` comes before all others.

    It posts ``Listed``, ``LayerRead`` and ``LayerPicture``. Without ``survey`` only wanted layers
    are read. A layer that cannot be read is reported, and the others follow.
    """

    def __init__(self, opening: Opening, first: LayerRequest, survey: bool, parent: Job) -> None:
        super().__init__(parent)
        self.opening = opening
        self.survey = survey
        self.wanted: deque[LayerRequest] = deque([first], maxlen=1)

    def failure(self, error: Exception) -> Failed:
        self.wanted.clear()
        return describe(f"{self.opening.file} could not be inspected", error, InspectionError)

    def work(self) -> None:
        with ExitStack() as files:
            one = files.enter_context(open_checkpoint(self.opening.file))
            other = None
            if self.opening.against is not None:
                other = files.enter_context(open_checkpoint(self.opening.against))
            pair = Pair(one, other)
            if self.survey:
                self.post(Listed(self.opening, pair.layers))
            reported: set[str] = set()
            names: Iterator[str] = iter(pair.names if self.survey else ())
            while not self.cancelled.is_set():
                try:
                    if self.wanted:
                        self.post(pair.picture(self.wanted.popleft()))
                    elif (name := next(names, None)) is not None:
                        self.post(pair.read(name, self.opening.more))
                    else:
                        return
                except InspectionError as error:
                    if str(error) not in reported:
                        self.post(Failed(str(error)))
                    reported.add(str(error))


class Pair:
    """An open checkpoint, and perhaps another one to compare it with."""

    def __init__(self, one: OpenCheckpoint, other: OpenCheckpoint | None) -> None:
        self._one, self._other = one, other
        more = other.layers if other else {}
        self.names = (*one.layers, *(name for name in more if name not in one.layers))

    @property
    def layers(self) -> tuple[tuple[str, Shape], ...]:
        return tuple((name, self._holder(name).layers[name].shape) for name in self.names)

    def read(self, name: str, more: tuple[int, ...]) -> LayerRead:
        """Detect one layer's N:M, and compare it. Raises InspectionError."""
        holder = self._holder(name)
        with name_file_in_errors(holder.file):
            finding = survey_layer(holder, name, more)
            comparison = compare_layer(name, self._one, self._other) if self._other else None
        return LayerRead(finding, comparison)

    def picture(self, request: LayerRequest) -> LayerPicture:
        """Read one layer whole. Raises InspectionError."""
        name = request.name or self.names[0]
        holder = self._holder(name)
        with name_file_in_errors(holder.file):
            rows = weight_rows(holder.weight(name))
            shape = holder.layers[name].shape
            kept = (rows != 0).view(np.uint8)
            finding = survey_kept(holder, name, kept)
            pattern = request.pattern or finding.pattern
            violations = None
            if pattern is not None and shape[1] % pattern.m == 0:
                violations = find_violations(kept, shape, pattern)
            top = top_level(np.abs(sample(rows)))
            codes = mask_codes(rows, top, violations)
            drawn = LayerPicture(
                request, name, finding, pattern, violations, rows, codes, top, None
            )
        return self._with_difference(drawn)

    def _with_difference(self, drawn: LayerPicture) -> LayerPicture:
        if self._other is None:
            return drawn
        here, there = self._one.layers.get(drawn.name), self._other.layers.get(drawn.name)
        with name_file_in_errors(self._other.file):
            if here is None or there is None or here.shape != there.shape:
                comparison = compare_layer(drawn.name, self._one, self._other)
                return replace(drawn, comparison=comparison)
            others = weight_rows(self._other.weight(drawn.name))
            comparison = compare_weights(drawn.name, drawn.shape, drawn.rows, others)
            top = top_level(absolute_differences(sample(drawn.rows), sample(others)))
            codes = difference_codes(drawn.rows, others, top)
        return replace(
            drawn, comparison=comparison, others=others, difference=codes, difference_top=top
        )

    def _holder(self, name: str) -> OpenCheckpoint:
        if self._other is not None and name not in self._one.layers:
            return self._other
        return self._one
