"""Detection of the N:M pattern of every layer of a checkpoint."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from lbc.inspection.checkpoint import OpenCheckpoint, open_checkpoint
from lbc.inspection.detection import Detection, detect
from lbc.inspection.rows import Kept, kept_rows
from lbc.inspection.violations import Violations, find_violations
from lbc.sparsity.pattern import Pattern


@dataclass(frozen=True)
class Finding:
    """One layer: the pattern detected from its zeros, and the one the file states, or ""."""

    name: str
    detection: Detection
    stated: str = ""

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
            "density": found.density,
            "headline": found.headline,
            "pattern": str(self.pattern) if self.pattern else None,
            "violations": self.violation_count,
            "obeyed": [str(pattern) for pattern in found.obeyed],
            "stated": self.stated or None,
        }


@dataclass(frozen=True)
class Survey:
    """The layers of a checkpoint, in the order of the file."""

    checkpoint: str
    layers: tuple[Finding, ...]

    def as_dict(self) -> dict[str, Any]:
        """Plain types for ``json.dumps``."""
        layers = [layer.as_dict() for layer in self.layers]
        return {"checkpoint": self.checkpoint, "layers": layers}


def survey_checkpoint(path: str | Path, skip: Iterable[str] = ()) -> Survey:
    """Detect the N:M of every layer of a file that ``open_checkpoint`` supports.

    Omits layers whose name matches a glob of ``skip``. Raises InspectionError.
    """
    globs = tuple(skip)
    with open_checkpoint(path) as checkpoint:
        layers = tuple(
            survey_layer(checkpoint, name)
            for name in checkpoint.layers
            if not any(fnmatchcase(name, glob) for glob in globs)
        )
    return Survey(str(path), layers)


def survey_layer(checkpoint: OpenCheckpoint, name: str, more: Sequence[int] = ()) -> Finding:
    """Detect the N:M of one layer, counting also the M in ``more``. Raises LayerError."""
    return survey_kept(checkpoint, name, kept_rows(checkpoint.weight(name)), more)


def survey_kept(
    checkpoint: OpenCheckpoint, name: str, kept: Kept, more: Sequence[int] = ()
) -> Finding:
    """Like ``survey_layer``, given the ``kept_rows`` of the layer."""
    shape = checkpoint.layers[name].shape
    stated = checkpoint.metadata.layers.get(name, "")
    if name in checkpoint.metadata.skipped:
        stated = f"dense: {checkpoint.metadata.skipped[name]}"
    pattern = stated_pattern(stated, shape)
    return Finding(name, detect(kept, shape, [*more, pattern.m] if pattern else more), stated)


def violations_in(
    path: str | Path, pattern: Pattern | None, layers: Collection[str]
) -> Iterator[tuple[str, Violations]]:
    """Yield the named layers with all violations of ``pattern``, by default their own pattern.

    Skips layers without a pattern and those whose input width is not a multiple of M. Raises
    InspectionError.
    """
    with open_checkpoint(path) as checkpoint:
        for name in layers:
            weight = checkpoint.weight(name)
            chosen = pattern or survey_layer(checkpoint, name).pattern
            if chosen is not None and weight.shape[1] % chosen.m == 0:
                yield name, find_violations(kept_rows(weight), tuple(weight.shape), chosen)


def stated_pattern(stated: str, shape: tuple[int, ...]) -> Pattern | None:
    """Parse the N:M a file states for a layer of this shape; None if there is no valid one."""
    try:
        pattern = Pattern.parse(stated)
        pattern.input_width(shape)
    except ValueError:
        return None
    return pattern


def summarise(layers: Sequence[Finding]) -> str:
    """One sentence: the number of layers of each kind and the number of violations."""
    kinds = Counter(str(layer.pattern or layer.detection.headline) for layer in layers)
    parts = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
    total = sum(layer.violation_count for layer in layers)
    violations = "1 violation" if total == 1 else f"{total:,} violations"
    if not any(layer.pattern for layer in layers):
        violations = "no layer has an N:M pattern"
    return f"{len(layers)} {'layer' if len(layers) == 1 else 'layers'}: {parts}; {violations}."
