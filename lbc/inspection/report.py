"""Checks whether a checkpoint complies with a given N:M pattern."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lbc.inspection.checkpoint import ExportMetadata, open_checkpoint
from lbc.sparsity.compliance import Violation, check
from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:
    from torch import Tensor

Status = Literal["valid", "violated", "not divisible", "dense by design"]


@dataclass(frozen=True)
class LayerReport:
    """The result for one weight.

    ``density`` is the fraction of nonzeros, ``violations`` the number of blocks with more than N
    nonzeros, and ``first`` the first such block. ``reason`` explains any status except valid.
    """

    name: str
    shape: tuple[int, ...]
    status: Status
    reason: str
    density: float
    violations: int = 0
    first: Violation | None = None


@dataclass(frozen=True)
class PatternReport:
    """The results for the layers of a checkpoint, in the order of the file."""

    checkpoint: str
    pattern: str
    layers: tuple[LayerReport, ...]

    @property
    def valid(self) -> bool:
        """True if no layer is violated. Dense and indivisible layers do not count."""
        return all(layer.status != "violated" for layer in self.layers)

    @property
    def checked(self) -> int:
        """The number of layers that were checked; if 0, ``valid`` is meaningless."""
        return sum(layer.status in ("valid", "violated") for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Plain types for ``json.dumps``."""
        return asdict(self) | {"valid": self.valid, "checked": self.checked}


def inspect_checkpoint(
    path: str | Path, pattern: Pattern, skip: Iterable[str] = ()
) -> PatternReport:
    """Check every layer of a checkpoint against a pattern.

    ``path`` is a .safetensors, .pt, .pth or .onnx file, or a run folder with a model.safetensors. A
    layer is a floating-point tensor ``X.weight`` with 2 to 4 dimensions, or a weight in LBC
    training, to which its mask is applied. Layers that match a glob of ``skip`` count as dense.

    Raises InspectionError if the file cannot be read or has no layers.
    """
    globs = tuple(skip)
    with open_checkpoint(path) as checkpoint:
        layers = tuple(
            check_layer(name, checkpoint.weight(name), pattern, checkpoint.metadata, globs)
            for name in checkpoint.layers
        )
    return PatternReport(str(path), str(pattern), layers)


def check_layer(
    name: str, weight: Tensor, pattern: Pattern, metadata: ExportMetadata, skip: tuple[str, ...]
) -> LayerReport:
    """Check one weight (O, I, *kernel) against the pattern."""
    shape = tuple(weight.shape)
    density = int((weight != 0).sum()) / weight.numel()
    if any(fnmatchcase(name, glob) for glob in skip):
        return LayerReport(name, shape, "dense by design", "skipped on request", density)
    if name in metadata.skipped:
        return LayerReport(name, shape, "dense by design", metadata.skipped[name], density)
    if shape[1] % pattern.m:
        reason = f"input width {shape[1]} is not a multiple of {pattern.m}"
        return LayerReport(name, shape, "not divisible", reason, density)
    result = check(weight, pattern)
    if result.first is None:
        return LayerReport(name, shape, "valid", "", density)
    blocks = weight.numel() // pattern.m
    reason = f"{result.violations} of {blocks} blocks keep more than {pattern.n} weights"
    stated = metadata.layers.get(name)
    if stated not in (None, str(pattern)):
        reason += f" (the file states {stated} for this layer)"
    return LayerReport(name, shape, "violated", reason, density, result.violations, result.first)
