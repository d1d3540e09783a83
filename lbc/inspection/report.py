"""Checks whether a checkpoint complies with a given N:M pattern."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lbc.inspection.checkpoint import OpenCheckpoint, open_checkpoint
from lbc.inspection.errors import DamagedError, LayerError
from lbc.inspection.survey import Finding, check_skip, in_threads, matches, reason, survey_layer
from lbc.inspection.violations import find_violations
from lbc.sparsity.compliance import Violation
from lbc.sparsity.pattern import Pattern

Status = Literal["valid", "violated", "not divisible", "dense by design", "not judged"]


@dataclass(frozen=True)
class LayerReport:
    """The result for one weight.

    ``density`` is the fraction of nonzeros, ``violations`` the number of blocks that break
    the pattern, and ``first`` the first such block. ``reason`` explains any status except valid.
    ``density`` is None if the weight is not judged; ``damaged``: its bytes are not what was saved.
    """

    name: str
    shape: tuple[int, ...]
    status: Status
    reason: str
    density: float | None
    violations: int = 0
    first: Violation | None = None
    nonfinite: int = 0
    damaged: bool = False


@dataclass(frozen=True)
class PatternReport:
    """The results for the layers of a checkpoint, in the order of the file."""

    checkpoint: str
    pattern: str
    layers: tuple[LayerReport, ...]
    parts: tuple[str, ...] = ()

    @property
    def valid(self) -> bool:
        """True if all was judged and no layer is violated. Dense and indivisible ones do not
        count."""
        return all(layer.status not in ("violated", "not judged") for layer in self.layers)

    @property
    def checked(self) -> int:
        """The number of layers that were checked; if 0, ``valid`` is meaningless."""
        return self.count("valid", "violated")

    def count(self, *statuses: Status) -> int:
        """The number of layers of some statuses."""
        return sum(layer.status in statuses for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Plain types for ``json.dumps``."""
        return asdict(self) | {"valid": self.valid, "checked": self.checked}


def inspect_checkpoint(
    path: str | Path, pattern: Pattern, skip: Iterable[str] = (), part: str = ""
) -> PatternReport:
    """Check every layer of a checkpoint that ``open_checkpoint`` supports against a pattern.

    Layers that match a glob of ``skip`` count as dense. What may be a weight and cannot be judged
    is listed with the reason. Raises InspectionError if the file cannot be read or has no layers,
    and for a glob that matches none.
    """
    globs = tuple(skip)
    with open_checkpoint(path, part) as checkpoint:
        check_skip(checkpoint, globs)
        names = [*checkpoint.layers, *checkpoint.unjudged]
        layers = in_threads(lambda name: _check(checkpoint, name, pattern, globs), names)
        return PatternReport(str(path), str(pattern), tuple(layers), checkpoint.parts)


def _check(
    checkpoint: OpenCheckpoint, name: str, pattern: Pattern, globs: tuple[str, ...]
) -> LayerReport:
    stored = checkpoint.tensors[name]
    if name in checkpoint.unjudged:
        skipped = checkpoint.metadata.skipped.get(name)
        if matches(name, globs) or skipped is not None:
            why = skipped or "skipped on request"
            return LayerReport(name, stored.shape, "dense by design", why, None)
        why, damaged = checkpoint.unjudged[name], stored.damaged
        return LayerReport(name, stored.shape, "not judged", why, None, damaged=damaged)
    try:
        found = survey_layer(checkpoint, name, [pattern])
        return _judge(checkpoint, found, pattern, globs)
    except LayerError as error:
        damaged = isinstance(error, DamagedError)
        why = reason(error)
        return LayerReport(name, stored.shape, "not judged", why, None, damaged=damaged)


def _judge(
    checkpoint: OpenCheckpoint, found: Finding, pattern: Pattern, globs: tuple[str, ...]
) -> LayerReport:
    name, shape, density = found.name, found.detection.shape, found.detection.density
    skipped = checkpoint.metadata.skipped.get(name)
    count = found.detection.count_violations(pattern) or 0
    status: Status = "violated" if count else "valid"
    why, first = "", None
    if matches(name, globs) or skipped is not None:
        status, count = "dense by design", 0
        why = "skipped on request" if matches(name, globs) else str(skipped)
    elif shape[1] % pattern.m:
        status, why = "not divisible", f"input width {shape[1]} is not a multiple of {pattern.m}"
    elif count:
        blocks = found.detection.weights // pattern.m
        why = f"{count} of {blocks} blocks keep more than {pattern.limit}"
        stated = checkpoint.metadata.layers.get(name)
        if stated not in (None, str(pattern)):
            why += f" (the file states {stated} for this layer)"
        first = find_violations(checkpoint.weight(name), pattern, 1, count)[0]
    nonfinite = found.detection.counts.nonfinite
    return LayerReport(name, shape, status, why, density, count, first, nonfinite)
