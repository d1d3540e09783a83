"""Detection of the N:M pattern of every layer of a checkpoint."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

from lbc.inspection.checkpoint import OpenCheckpoint, open_checkpoint
from lbc.inspection.detection import Detection, detect_weight
from lbc.inspection.errors import DamagedError, InspectionError, LayerError, name_file_in_errors
from lbc.inspection.violations import Violations, violations_in_chunks
from lbc.sparsity.layer_names import check_names
from lbc.sparsity.pattern import Pattern

T = TypeVar("T")

MOST_THREADS = 4


@dataclass(frozen=True)
class Finding:
    """One layer: the pattern detected from its zeros, and the one the file states, or ""."""

    name: str
    detection: Detection
    stated: str = ""
    dtype: str = ""
    bytes: int = 0

    @property
    def pattern(self) -> Pattern | None:
        """The N:M to check the layer against: the stated one, otherwise the detected one."""
        return stated_pattern(self.stated, self.detection.shape) or self.detection.pattern

    @property
    def violation_count(self) -> int:
        """The number of blocks that violate ``pattern``."""
        return (self.detection.count_violations(self.pattern) or 0) if self.pattern else 0

    def as_dict(self) -> dict[str, Any]:
        found = self.detection
        return {
            "name": self.name,
            "shape": list(found.shape),
            "dtype": self.dtype,
            "bytes": self.bytes,
            "density": found.density,
            "headline": found.headline,
            "pattern": str(self.pattern) if self.pattern else None,
            "violations": self.violation_count,
            "obeyed": [str(pattern) for pattern in found.obeyed],
            "stated": self.stated or None,
            "nonfinite": found.counts.nonfinite,
        }


@dataclass(frozen=True)
class Unjudged:
    """A tensor that may be a weight, and why it is not judged; ``damaged``: by what has happened to
    the file."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    reason: str
    damaged: bool = False


@dataclass(frozen=True)
class Survey:
    """The layers of a checkpoint, in the order of the file, and what is not judged.

    ``parts`` are the state dicts in the file if it has several.
    """

    checkpoint: str
    layers: tuple[Finding, ...]
    unjudged: tuple[Unjudged, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """True if no layer breaks its own pattern."""
        return not any(layer.violation_count for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Plain types for ``json.dumps``."""
        return {
            "checkpoint": self.checkpoint,
            "valid": self.valid,
            "layers": [layer.as_dict() for layer in self.layers],
            "not_judged": [asdict(one) for one in self.unjudged],
            "state_dicts": list(self.parts),
        }


def survey_checkpoint(path: str | Path, skip: Iterable[str] = (), part: str = "") -> Survey:
    """Detect the N:M of every layer of a file that ``open_checkpoint`` supports.

    Omits layers whose name matches a glob of ``skip``. Raises InspectionError, also for a glob that
    matches none.
    """
    globs = tuple(skip)
    with open_checkpoint(path, part) as checkpoint:
        check_skip(checkpoint, globs)
        names = [name for name in checkpoint.layers if not matches(name, globs)]
        layers, unjudged = survey_layers(checkpoint, names)
        rest = (one for one in unjudged_tensors(checkpoint) if not matches(one.name, globs))
        return Survey(str(path), layers, (*unjudged, *rest), checkpoint.parts)


def survey_layers(
    checkpoint: OpenCheckpoint, names: Sequence[str], more: Sequence[Pattern] = ()
) -> tuple[tuple[Finding, ...], tuple[Unjudged, ...]]:
    """Detect the N:M of some layers; those that cannot be read are listed with the reason.

    Raises InspectionError if none can be read.
    """

    def survey(name: str) -> Finding | Unjudged:
        try:
            return survey_layer(checkpoint, name, more)
        except LayerError as error:
            stored = checkpoint.layers[name]
            damaged = isinstance(error, DamagedError)
            return Unjudged(name, stored.shape, stored.dtype, reason(error), damaged)

    found = in_threads(survey, names)
    layers = tuple(one for one in found if isinstance(one, Finding))
    unjudged = tuple(one for one in found if isinstance(one, Unjudged))
    if unjudged and not layers:
        first = unjudged[0]
        raise InspectionError(f"{checkpoint.file}: {first.name} cannot be read: {first.reason}.")
    return layers, unjudged


def in_threads(work: Callable[[str], T], names: Sequence[str]) -> list[T]:
    """Work on several layers at once: most of the time is spent in NumPy and in reading."""
    if len(names) < 2:
        return [work(name) for name in names]
    with ThreadPoolExecutor(min(MOST_THREADS, os.cpu_count() or 1)) as threads:
        return list(threads.map(work, names))


def survey_layer(checkpoint: OpenCheckpoint, name: str, more: Sequence[Pattern] = ()) -> Finding:
    """Detect the N:M of one layer, counting the blocks of ``more`` too. Raises LayerError."""
    weight = checkpoint.weight(name)
    stored = checkpoint.layers[name]
    stated = checkpoint.metadata.layers.get(name, "")
    if name in checkpoint.metadata.skipped:
        stated = f"dense: {checkpoint.metadata.skipped[name]}"
    pattern = stated_pattern(stated, stored.shape)
    counted = [*more, pattern] if pattern else more
    detection = detect_weight(weight, counted)
    return Finding(name, detection, stated, stored.dtype, stored.bytes)


def unjudged_tensors(checkpoint: OpenCheckpoint) -> Iterator[Unjudged]:
    """What its header alone says cannot be judged."""
    for name, why in checkpoint.unjudged.items():
        stored = checkpoint.others[name]
        yield Unjudged(name, stored.shape, stored.dtype, why, stored.damaged)


def reason(error: LayerError) -> str:
    """The part of the error of a layer that says why it cannot be read."""
    inner = error.__cause__
    return str(inner if isinstance(inner, LayerError) else error).rstrip(".")


def violations_in(
    path: str | Path, pattern: Pattern | None, layers: Collection[str], part: str = ""
) -> Iterator[tuple[str, Violations]]:
    """Yield the named layers with all violations of ``pattern``, by default their own pattern, in
    pieces of some rows.

    Skips layers without a pattern and those whose input width is not a multiple of M. Raises
    InspectionError.
    """
    with open_checkpoint(path, part) as checkpoint:
        for name in layers:
            with name_file_in_errors(checkpoint.file):
                weight = checkpoint.weight(name)
                chosen = pattern or survey_layer(checkpoint, name).pattern
            if chosen is not None and weight.shape[1] % chosen.m == 0:
                shape = tuple(weight.shape)
                for blocks, members in violations_in_chunks(weight, chosen):
                    yield name, Violations(chosen, shape, len(blocks), blocks, members)


def check_skip(checkpoint: OpenCheckpoint, globs: Iterable[str]) -> None:
    """Raise InspectionError for a glob that matches nothing that is listed."""
    try:
        check_names([*checkpoint.layers, *checkpoint.unjudged], globs)
    except ValueError as error:
        raise InspectionError(f"{checkpoint.file} cannot be judged: {error}") from error


def matches(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def stated_pattern(stated: str, shape: tuple[int, ...]) -> Pattern | None:
    """Parse the N:M a file states for a layer of this shape; None if there is no valid one."""
    try:
        pattern = Pattern.parse(stated)
        pattern.input_width(shape)
    except ValueError:
        return None
    return pattern


def summarise(layers: Sequence[Finding], unjudged: int = 0, pattern: Pattern | None = None) -> str:
    """How many layers there are of each kind, and how many violations, of ``pattern`` if given."""
    kinds = Counter(str(layer.pattern or layer.detection.headline) for layer in layers)
    parts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    held = [pattern or layer.pattern for layer in layers]
    counted = [
        layer.detection.count_violations(at) for layer, at in zip(layers, held, strict=True) if at
    ]
    total = sum(count or 0 for count in counted)
    violations = "1 violation" if total == 1 else f"{total:,} violations"
    violations += f" of {pattern}" if pattern else ""
    if all(count is None for count in counted):
        violations = f"{pattern} fits no layer" if pattern else "no layer has an N:M pattern"
    text = f"{len(layers)} {'layer' if len(layers) == 1 else 'layers'}: {parts}; {violations}."
    nonfinite = sum(layer.detection.counts.nonfinite > 0 for layer in layers)
    if nonfinite:
        have = "layer has" if nonfinite == 1 else "layers have"
        text += f" {nonfinite} {have} NaN or infinite weights."
    return text + (f" {unjudged} not judged." if unjudged else "")
