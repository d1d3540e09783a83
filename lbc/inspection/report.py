"""Does a saved checkpoint keep an N:M pattern that is asked of it?"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lbc.inspection.checkpoint import Statement, open_checkpoint
from lbc.sparsity.compliance import Violation, check
from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:
    from torch import Tensor

Status = Literal["valid", "violated", "not divisible", "dense by design"]


@dataclass(frozen=True)
class Layer:
    """One weight of the checkpoint.

    ``density`` is the share of non-zeros, ``violations`` counts the blocks with more than N of
    them, and ``first`` is the first such block. ``reason`` explains any other status than valid.
    """

    name: str
    shape: tuple[int, ...]
    status: Status
    reason: str
    density: float
    violations: int = 0
    first: Violation | None = None


@dataclass(frozen=True)
class Report:
    """The layers of a checkpoint, in the order of their names in the file."""

    checkpoint: str
    pattern: str
    layers: tuple[Layer, ...]

    @property
    def valid(self) -> bool:
        """No layer is violated. Layers that are dense by design or not divisible do not count."""
        return all(layer.status != "violated" for layer in self.layers)

    @property
    def checked(self) -> int:
        """How many layers were held against the pattern; at 0, ``valid`` says nothing."""
        return sum(layer.status in ("valid", "violated") for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """The report in plain types, ready for ``json.dumps``."""
        return asdict(self) | {"valid": self.valid, "checked": self.checked}


def inspect_checkpoint(path: str | Path, pattern: Pattern, skip: Iterable[str] = ()) -> Report:
    """Hold every layer of a checkpoint against a pattern.

    ``path`` is a .safetensors, .pt, .pth or .onnx file, or a run folder with a model.safetensors. A
    layer is a floating-point tensor ``X.weight`` of 2 to 4 dimensions, or a weight in the middle of
    LBC training, whose mask is then applied. Layers whose name matches a glob of ``skip`` are left
    out.

    Raises InspectionError with one sentence where the file is no such thing.
    """
    globs = tuple(skip)
    with open_checkpoint(path) as checkpoint:
        layers = tuple(
            judge(name, checkpoint.weight(name), pattern, checkpoint.statement, globs)
            for name in checkpoint.layers
        )
    return Report(str(path), str(pattern), layers)


def judge(
    name: str, weight: Tensor, pattern: Pattern, statement: Statement, skip: tuple[str, ...]
) -> Layer:
    """Hold one weight (O, I, *kernel) against the pattern."""
    shape = tuple(weight.shape)
    density = int((weight != 0).sum()) / weight.numel()
    if any(fnmatchcase(name, glob) for glob in skip):
        return Layer(name, shape, "dense by design", "skipped on request", density)
    if name in statement.skipped:
        return Layer(name, shape, "dense by design", statement.skipped[name], density)
    if shape[1] % pattern.m:
        reason = f"input width {shape[1]} is not a multiple of {pattern.m}"
        return Layer(name, shape, "not divisible", reason, density)
    result = check(weight, pattern)
    if result.first is None:
        return Layer(name, shape, "valid", "", density)
    blocks = weight.numel() // pattern.m
    reason = f"{result.violations} of {blocks} blocks keep more than {pattern.n} weights"
    stated = statement.layers.get(name)
    if stated not in (None, str(pattern)):
        reason += f" (the file says this layer is {stated})"
    return Layer(name, shape, "violated", reason, density, result.violations, result.first)
