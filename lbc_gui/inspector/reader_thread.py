"""Reads checkpoints in a thread of its own."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lbc.inspection.checkpoint import ExportMetadata, OpenCheckpoint, open_checkpoint
from lbc.inspection.comparison import (
    LayerComparison,
    absolute_differences,
    compare_layer,
)
from lbc.inspection.errors import InspectionError, LayerError, name_file_in_errors
from lbc.inspection.picture import Codes, difference_codes, mask_codes, sample, top_level
from lbc.inspection.stored_tensor import StoredTensor
from lbc.inspection.survey import Finding, reason, survey_layer
from lbc.inspection.violations import Violations, find_violations
from lbc.sparsity.pattern import Pattern
from lbc_gui.worker import Failed, Job, Worker, describe

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]

OTHER = "no weight of a layer"
"""What is said of tensors that are only compared."""

MOST_THREADS = max(1, min(4, (os.cpu_count() or 1) - 1))
"""How many tensors are read at once; one processor is left for the window."""

MOST_VIOLATIONS = 10_000
"""The most violations that are listed; all of them are counted and drawn."""

LARGEST_COPY = 1 << 28
"""Bytes of the largest weight that is copied from its file."""


@dataclass(frozen=True)
class Opening:
    """What to read: a checkpoint, one to compare it with, and M to count besides the usual ones."""

    file: Path
    against: Path | None = None
    more: tuple[Pattern, ...] = ()


@dataclass(frozen=True)
class LayerRequest:
    """A layer to draw ("" for the first), checked against a pattern; its own if None."""

    name: str
    pattern: Pattern | None


@dataclass(frozen=True)
class ListedTensor:
    """A row of the table: the header of a tensor; ``unjudged`` says why it is not a layer."""

    name: str
    stored: StoredTensor
    unjudged: str = ""


@dataclass(frozen=True)
class Listed:
    """The file is open: its layers and what may be weights. If two files are compared, all of their
    tensors. ``metadata`` is what the first one states."""

    opening: Opening
    tensors: tuple[ListedTensor, ...]
    metadata: ExportMetadata

    @property
    def weights(self) -> int:
        return sum(at.stored.weights for at in self.tensors)


@dataclass(frozen=True)
class TensorRead:
    """What was found in one tensor: ``finding`` if it is a layer, ``comparison`` if there is
    another checkpoint, ``problem`` if it could not be read."""

    name: str
    finding: Finding | None
    comparison: LayerComparison | None
    problem: str = ""


@dataclass(frozen=True)
class LayerPicture:
    """Everything shown of one layer. Codes are (O, kernel · I), as ``weight_rows``.

    ``weight`` reads the weight (O, I, *kernel) and may raise LayerError; ``other`` and
    ``difference`` are None if no other checkpoint has the layer in this shape.
    ``violations`` are the first ones.
    """

    request: LayerRequest
    name: str
    finding: Finding
    pattern: Pattern | None
    violations: Violations | None
    weight: Callable[[], Tensor]
    codes: Codes
    top: float
    comparison: LayerComparison | None
    other: Callable[[], Tensor] | None = None
    difference: Codes | None = None
    difference_top: float = 0.0

    @property
    def shape(self) -> Shape:
        return self.finding.detection.shape


class ReaderThread(Worker):
    """Reads one opening; the layer that is ``wanted`` comes before all others.

    It posts ``Listed``, ``TensorRead`` and ``LayerPicture``. Without ``survey`` only wanted layers
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
                self.post(Listed(self.opening, pair.tensors, one.metadata))
            names = deque(pair.names if self.survey else ())
            with ThreadPoolExecutor(MOST_THREADS) as threads:
                self._read(pair, names, threads)

    def _read(self, pair: Pair, names: deque[str], threads: ThreadPoolExecutor) -> None:
        """Read what is wanted and all of ``names``, a few of them at once."""
        begun: deque[Future[TensorRead]] = deque()
        while not self.cancelled.is_set():
            if self.wanted:
                try:
                    self.post(pair.picture(self.wanted.popleft()))
                except InspectionError as error:
                    self.post(Failed(str(error)))
                continue
            while names and len(begun) < 2 * MOST_THREADS:
                begun.append(threads.submit(pair.read, names.popleft(), self.opening.more))
            if not begun:
                return
            self.post(begun.popleft().result())


class Pair:
    """An open checkpoint, and perhaps another one to compare it with."""

    def __init__(self, one: OpenCheckpoint, other: OpenCheckpoint | None) -> None:
        self._one, self._other = one, other
        if other is None:
            names = [*one.layers, *one.unjudged]
        else:
            names = list(dict.fromkeys([*one.layers, *other.layers, *one.others, *other.others]))
        self.names = tuple(names)

    @property
    def tensors(self) -> tuple[ListedTensor, ...]:
        listed = []
        for name in self.names:
            holder = self._holder(name)
            why = "" if name in holder.layers else holder.unjudged.get(name, OTHER)
            listed.append(ListedTensor(name, holder.tensors[name], why))
        return tuple(listed)

    def read(self, name: str, more: tuple[Pattern, ...]) -> TensorRead:
        """Detect one layer's N:M, and compare the tensor."""
        holder, problem, finding = self._holder(name), "", None
        try:
            finding = survey_layer(holder, name, more) if name in holder.layers else None
        except LayerError as error:
            problem = reason(error)
        comparison = compare_layer(name, self._one, self._other) if self._other else None
        return TensorRead(name, finding, comparison, problem)

    def picture(self, request: LayerRequest) -> LayerPicture:
        """Read one layer whole. Raises InspectionError."""
        name, holder = request.name, self._holder(request.name)
        if not name or name in holder.others:
            name, holder = self.names[0], self._holder(self.names[0])
        with name_file_in_errors(holder.file):
            more = (request.pattern,) if request.pattern else ()
            finding = survey_layer(holder, name, more)
            weight = holder.weight(name)
            pattern = request.pattern or finding.pattern
            fits = pattern is not None and weight.shape[1] % pattern.m == 0
            checked = pattern if fits else None
            violations = None
            if checked is not None:
                count = finding.detection.count_violations(checked)
                violations = find_violations(weight, checked, MOST_VIOLATIONS, count)
            top = top_level(np.abs(sample(weight)))
            codes = mask_codes(weight, top, checked)
            drawn = LayerPicture(
                request, name, finding, pattern, violations, kept(holder, name, weight), codes, top,
                None,
            )  # fmt: skip
        return self._with_difference(drawn, weight)

    def _with_difference(self, drawn: LayerPicture, weight: Tensor) -> LayerPicture:
        if self._other is None:
            return drawn
        comparison = compare_layer(drawn.name, self._one, self._other)
        if comparison.largest is None:
            return replace(drawn, comparison=comparison)
        with name_file_in_errors(self._other.file):
            other = self._other.weight(drawn.name)
            top = top_level(absolute_differences(sample(weight), sample(other)))
            codes = difference_codes(weight, other, top)
        own = kept(self._other, drawn.name, other)
        return replace(
            drawn, comparison=comparison, other=own, difference=codes, difference_top=top
        )

    def _holder(self, name: str) -> OpenCheckpoint:
        if self._other is not None and name not in self._one.tensors:
            return self._other
        return self._one


def kept(checkpoint: OpenCheckpoint, name: str, weight: Tensor) -> Callable[[], Tensor]:
    """A weight for later: a copy, as the file may change meanwhile; the largest are read again."""
    stored = checkpoint.layers[name]
    if stored.mapped and weight.nbytes > LARGEST_COPY:
        return stored.read
    copy = weight.clone() if stored.mapped else weight
    return lambda: copy
