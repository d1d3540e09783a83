"""Comparison of two checkpoints: missing layers, differences, flipped mask positions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lbc.inspection.checkpoint import OpenCheckpoint, open_checkpoint
from lbc.inspection.rows import Rows, in_chunks, weight_rows

Difference = Literal["same", "different", "other shape", "only in the first", "only in the second"]


@dataclass(frozen=True)
class LayerComparison:
    """One layer in two checkpoints.

    ``largest`` is the largest |difference| of a weight, infinite if exactly one of the two is NaN.
    ``flipped`` is the number of positions that are zero in only one of them. Both are None if the
    two cannot be compared.
    """

    name: str
    difference: Difference
    first: tuple[int, ...] | None
    """Shape in the first checkpoint."""
    second: tuple[int, ...] | None
    largest: float | None = None
    flipped: int | None = None

    @property
    def agreement(self) -> float | None:
        """The fraction of positions where the masks are equal."""
        if self.flipped is None or self.first is None:
            return None
        return 1.0 - self.flipped / int(np.prod(self.first))


@dataclass(frozen=True)
class CheckpointComparison:
    """All layers of two checkpoints, in the order of the first, then those only in the second."""

    first: str
    second: str
    layers: tuple[LayerComparison, ...]

    @property
    def same(self) -> bool:
        """True if all weights are equal."""
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


def compare_checkpoints(first: str | Path, second: str | Path) -> CheckpointComparison:
    """Compare two files that ``open_checkpoint`` supports. Raises InspectionError."""
    with open_checkpoint(first) as one, open_checkpoint(second) as other:
        names = [*one.layers, *(name for name in other.layers if name not in one.layers)]
        layers = tuple(compare_layer(name, one, other) for name in names)
    return CheckpointComparison(str(first), str(second), layers)


def compare_layer(name: str, one: OpenCheckpoint, other: OpenCheckpoint) -> LayerComparison:
    """Compare a layer of two open checkpoints. Raises LayerError if one cannot be read."""
    first, second = one.layers.get(name), other.layers.get(name)
    if first is None or second is None or first.shape != second.shape:
        return _unmatched(name, first.shape if first else None, second.shape if second else None)
    rows, others = weight_rows(one.weight(name)), weight_rows(other.weight(name))
    return compare_weights(name, first.shape, rows, others)


def compare_weights(name: str, shape: tuple[int, ...], rows: Rows, others: Rows) -> LayerComparison:
    """Compare two weights of the same shape, as returned by ``weight_rows``."""
    largest, flipped = 0.0, 0
    for part in in_chunks(*rows.shape):
        largest = max(largest, float(absolute_differences(rows[part], others[part]).max()))
        flipped += int(np.count_nonzero((rows[part] != 0) != (others[part] != 0)))
    difference: Difference = "different" if largest else "same"
    return LayerComparison(name, difference, shape, shape, largest, flipped)


def absolute_differences(rows: Rows, others: Rows) -> Rows:
    """|difference| of every weight: 0 if both are equal or NaN, infinite if only one is NaN."""
    with np.errstate(invalid="ignore", over="ignore"):
        result: Rows = np.abs(rows - others)
    undefined = np.isnan(result)
    if undefined.any():
        same = (rows == others) | (np.isnan(rows) & np.isnan(others))
        result[undefined] = np.where(same[undefined], 0, np.inf)
    return result


def _unmatched(
    name: str, first: tuple[int, ...] | None, second: tuple[int, ...] | None
) -> LayerComparison:
    if first and second:
        return LayerComparison(name, "other shape", first, second)
    difference: Difference = "only in the first" if first else "only in the second"
    return LayerComparison(name, difference, first, second)
