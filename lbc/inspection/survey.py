"""What a checkpoint turns out to be, layer by layer, when nothing is asked of it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lbc.inspection.checkpoint import Checkpoint, open_checkpoint
from lbc.inspection.detection import Detection, detect
from lbc.inspection.rows import Kept, kept_rows
from lbc.inspection.violations import Violations, find_violations
from lbc.sparsity.pattern import Pattern


@dataclass(frozen=True)
class Finding:
    """One layer: what its zeros say, and what the file says of it ("" where it says nothing)."""

    name: str
    detection: Detection
    stated: str = ""

    @property
    def pattern(self) -> Pattern | None:
        """The N:M to hold the layer against: what the file states, else what was detected."""
        return stated_pattern(self.stated, self.detection.shape) or self.detection.pattern

    @property
    def broken(self) -> int:
        """How many blocks break ``pattern``."""
        return (self.detection.broken(self.pattern) or 0) if self.pattern else 0

    def as_dict(self) -> dict[str, Any]:
        found = self.detection
        return {
            "name": self.name,
            "shape": list(found.shape),
            "density": found.density,
            "headline": found.headline,
            "pattern": str(self.pattern) if self.pattern else None,
            "violations": self.broken,
            "obeyed": [str(pattern) for pattern in found.obeyed],
            "stated": self.stated or None,
        }


@dataclass(frozen=True)
class Survey:
    """The layers of a checkpoint, in the order of their names in the file."""

    checkpoint: str
    layers: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """In plain types, ready for ``json.dumps``."""
        layers = [layer.as_dict() for layer in self.layers]
        return {"checkpoint": self.checkpoint, "layers": layers}


def survey_checkpoint(path: str | Path, skip: Iterable[str] = ()) -> Survey:
    """Detect the N:M of every layer of a file that ``open_checkpoint`` opens.

    Layers whose name matches a glob of ``skip`` are left out.

    Raises InspectionError with one sentence where the file is no such thing.
    """
    globs = tuple(skip)
    with open_checkpoint(path) as checkpoint:
        layers = tuple(
            survey_layer(checkpoint, name)
            for name in checkpoint.layers
            if not any(fnmatchcase(name, glob) for glob in globs)
        )
    return Survey(str(path), layers)


def survey_layer(checkpoint: Checkpoint, name: str, more: Sequence[int] = ()) -> Finding:
    """Detect the N:M of one layer; ``more`` are further M to count. LayerProblem if unreadable."""
    return find(checkpoint, name, kept_rows(checkpoint.weight(name)), more)


def find(checkpoint: Checkpoint, name: str, kept: Kept, more: Sequence[int] = ()) -> Finding:
    """The same for a layer whose ``kept_rows`` are known."""
    shape = checkpoint.layers[name].shape
    stated = checkpoint.statement.layers.get(name, "")
    if name in checkpoint.statement.skipped:
        stated = f"dense: {checkpoint.statement.skipped[name]}"
    pattern = stated_pattern(stated, shape)
    return Finding(name, detect(kept, shape, [*more, pattern.m] if pattern else more), stated)


def violations_in(
    path: str | Path, pattern: Pattern | None, layers: Collection[str]
) -> Iterator[tuple[str, Violations]]:
    """The named layers with all their violations of ``pattern``, or of their own if that is None.

    Layers without a pattern, and those whose input width M does not divide, are passed over.
    Raises InspectionError.
    """
    with open_checkpoint(path) as checkpoint:
        for name in layers:
            weight = checkpoint.weight(name)
            chosen = pattern or survey_layer(checkpoint, name).pattern
            if chosen is not None and weight.shape[1] % chosen.m == 0:
                yield name, find_violations(kept_rows(weight), tuple(weight.shape), chosen)


def stated_pattern(stated: str, shape: tuple[int, ...]) -> Pattern | None:
    """The N:M a file states for a layer of this shape; None where it states none that can be."""
    try:
        pattern = Pattern.parse(stated)
        pattern.input_width(shape)
    except ValueError:
        return None
    return pattern


def describe(layers: Sequence[Finding]) -> str:
    """One sentence: how many layers are what, and how many blocks break it."""
    counted: dict[str, int] = {}
    for layer in layers:
        kind = str(layer.pattern) if layer.pattern else layer.detection.headline
        counted[kind] = counted.get(kind, 0) + 1
    parts = ", ".join(f"{count} {kind}" for kind, count in counted.items())
    broken = sum(layer.broken for layer in layers)
    breaking = (
        f"{broken:,} {'block breaks its' if broken == 1 else 'blocks break their'} layer's N:M"
    )
    if not any(layer.pattern for layer in layers):
        breaking = "none has an N:M"
    elif not broken:
        breaking = "no block breaks its layer's N:M"
    return f"{len(layers)} {'layer' if len(layers) == 1 else 'layers'}: {parts}; {breaking}."
