"""Comparison of two checkpoints: missing tensors, differences, flipped mask positions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from lbc.inspection.checkpoint import OpenCheckpoint, open_checkpoint
from lbc.inspection.errors import LayerError
from lbc.inspection.rows import Rows, as_floats, in_chunks, rows_shape, weight_rows
from lbc.inspection.survey import in_threads, reason

if TYPE_CHECKING:
    from torch import Tensor

Difference = Literal[
    "same", "different", "other shape", "only in the first", "only in the second", "not compared"
]


@dataclass(frozen=True)
class LayerComparison:
    """One layer, or another tensor, in two checkpoints.

    ``largest`` is the largest |difference| of a value, infinite if exactly one of the two is NaN.
    ``flipped`` is the number of positions that are zero in only one of them. Both are None if the
    two cannot be compared; ``reason`` says why one could not be read.
    """

    name: str
    difference: Difference
    first: tuple[int, ...] | None
    """Shape in the first checkpoint."""
    second: tuple[int, ...] | None
    largest: float | None = None
    flipped: int | None = None
    reason: str = ""

    @property
    def agreement(self) -> float | None:
        """The fraction of positions where the masks are equal."""
        if self.flipped is None or self.first is None:
            return None
        return 1.0 - self.flipped / max(1, int(np.prod(self.first)))


@dataclass(frozen=True)
class CheckpointComparison:
    """All tensors of two checkpoints, in the order of the first, then those only in the second."""

    first: str
    second: str
    layers: tuple[LayerComparison, ...]

    @property
    def same(self) -> bool:
        """True if all values are equal."""
        return all(layer.difference == "same" for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """Plain types for ``json.dumps``; an infinite difference becomes None."""
        layers = []
        for layer in self.layers:
            plain = asdict(layer) | {"agreement": layer.agreement}
            if layer.largest is not None and not np.isfinite(layer.largest):
                plain["largest"] = None
            layers.append(plain)
        return {"first": self.first, "second": self.second, "same": self.same, "layers": layers}


def compare_checkpoints(
    first: str | Path, second: str | Path, part: str = ""
) -> CheckpointComparison:
    """Compare two files that ``open_checkpoint`` supports; ``part`` is a state dict of the first.

    Raises InspectionError.
    """
    with open_checkpoint(first, part) as one, open_checkpoint(second) as other:
        names = list(dict.fromkeys([*one.tensors, *other.tensors]))
        layers = in_threads(lambda name: compare_layer(name, one, other), names)
    return CheckpointComparison(str(first), str(second), tuple(layers))


def compare_layer(name: str, one: OpenCheckpoint, other: OpenCheckpoint) -> LayerComparison:
    """Compare a tensor of two open checkpoints."""
    first, second = one.tensors.get(name), other.tensors.get(name)
    shapes = first.shape if first else None, second.shape if second else None
    problem = next((at.problem for at in (first, second) if at and at.problem), "")
    if first is None or second is None:
        return LayerComparison(
            name, "only in the first" if first else "only in the second", *shapes
        )
    if problem:
        return LayerComparison(name, "not compared", *shapes, reason=problem)
    if first.shape != second.shape:
        return LayerComparison(name, "other shape", *shapes)
    try:
        return compare_weights(name, one.weight(name), other.weight(name))
    except LayerError as error:
        return LayerComparison(name, "not compared", *shapes, reason=reason(error))


def compare_weights(name: str, one: Tensor, other: Tensor) -> LayerComparison:
    """Compare two tensors of the same shape."""
    shape, largest, flipped = tuple(one.shape), 0.0, 0
    if one.ndim < 2:
        one, other = one.reshape(1, -1), other.reshape(1, -1)
    for part in in_chunks(*rows_shape(tuple(one.shape))):
        rows, others = exact_rows(one, part), exact_rows(other, part)
        if rows.size:
            largest = max(largest, float(absolute_differences(rows, others).max()))
            flipped += int(np.count_nonzero((rows != 0) != (others != 0)))
    difference: Difference = "different" if largest else "same"
    return LayerComparison(name, difference, shape, shape, largest, flipped)


def exact_rows(weight: Tensor, part: slice) -> Rows:
    """Some rows as floats that represent the values; real and imaginary parts side by side."""
    import torch

    rows = weight_rows(weight, part)
    if rows.is_complex():
        rows = torch.view_as_real(rows).flatten(1)
    whole = not rows.dtype.is_floating_point and rows.element_size() > 2
    return as_floats(rows.double() if whole else rows)


def absolute_differences(rows: Rows, others: Rows) -> Rows:
    """|difference| of every weight: 0 if both are equal or NaN, infinite if only one is NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        result: Rows = np.abs(rows - others)
    undefined = np.isnan(result)
    if undefined.any():
        same = (rows == others) | (np.isnan(rows) & np.isnan(others))
        result[undefined] = np.where(same[undefined], 0, np.inf)
    return result
