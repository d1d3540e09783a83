"""Two checkpoints against each other: what is in one only, what differs, which masks flipped."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lbc.inspection.checkpoint import Checkpoint, open_checkpoint
from lbc.inspection.rows import Rows, in_chunks, weight_rows

Difference = Literal["same", "different", "other shape", "only in the first", "only in the second"]


@dataclass(frozen=True)
class LayerComparison:
    """One layer in two checkpoints.

    ``largest`` is the greatest |difference| of a weight: infinite where one of the two is not a
    number. ``flipped`` counts the positions that are zero in one of them alone. Both are None where
    the two cannot be held against each other.
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
        """The share of positions where both masks say the same."""
        if self.flipped is None or self.first is None:
            return None
        return 1.0 - self.flipped / int(np.prod(self.first))


@dataclass(frozen=True)
class CheckpointComparison:
    """All layers of two checkpoints: the first's in its order, then what only the second has."""

    first: str
    second: str
    layers: tuple[LayerComparison, ...]

    @property
    def same(self) -> bool:
        """Every weight is equal."""
        return all(layer.difference == "same" for layer in self.layers)

    def as_dict(self) -> dict[str, Any]:
        """In plain types, ready for ``json.dumps``; an infinite difference is None there."""
        layers = []
        for layer in self.layers:
            plain = asdict(layer) | {"agreement": layer.agreement}
            if layer.largest is not None and not np.isfinite(layer.largest):
                plain["largest"] = None
            layers.append(plain)
        return {"first": self.first, "second": self.second, "same": self.same, "layers": layers}


def compare_checkpoints(first: str | Path, second: str | Path) -> CheckpointComparison:
    """Compare every layer of two files that ``open_checkpoint`` opens. Raises InspectionError."""
    with open_checkpoint(first) as one, open_checkpoint(second) as other:
        names = [*one.layers, *(name for name in other.layers if name not in one.layers)]
        layers = tuple(compare_layer(name, one, other) for name in names)
    return CheckpointComparison(str(first), str(second), layers)


def compare_layer(name: str, one: Checkpoint, other: Checkpoint) -> LayerComparison:
    """A layer of two open checkpoints; LayerProblem where one cannot be read."""
    first, second = one.layers.get(name), other.layers.get(name)
    if first is None or second is None or first.shape != second.shape:
        return _apart(name, first.shape if first else None, second.shape if second else None)
    rows, others = weight_rows(one.weight(name)), weight_rows(other.weight(name))
    return compare_weights(name, first.shape, rows, others)


def compare_weights(name: str, shape: tuple[int, ...], rows: Rows, others: Rows) -> LayerComparison:
    """Two weights of one shape, as ``weight_rows`` gives them."""
    largest, flipped = 0.0, 0
    for part in in_chunks(*rows.shape):
        largest = max(largest, float(distances(rows[part], others[part]).max()))
        flipped += int(np.count_nonzero((rows[part] != 0) != (others[part] != 0)))
    difference: Difference = "different" if largest else "same"
    return LayerComparison(name, difference, shape, shape, largest, flipped)


def distances(rows: Rows, others: Rows) -> Rows:
    """|difference| of every weight: 0 where both are the same or both no number, infinite where
    one of them is no number."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart: Rows = np.abs(rows - others)
    odd = np.isnan(apart)
    if odd.any():
        same = (rows == others) | (np.isnan(rows) & np.isnan(others))
        apart[odd] = np.where(same[odd], 0, np.inf)
    return apart


def _apart(
    name: str, first: tuple[int, ...] | None, second: tuple[int, ...] | None
) -> LayerComparison:
    if first and second:
        return LayerComparison(name, "other shape", first, second)
    difference: Difference = "only in the first" if first else "only in the second"
    return LayerComparison(name, difference, first, second)
