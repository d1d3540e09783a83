"""The fitted times of one card and type."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, Field

from lbc.latency.estimate.adjustment import Adjustment
from lbc.latency.estimate.correction import distance
from lbc.latency.estimate.predictor import Predictor, Type
from lbc.latency.estimate.roofline import Floats
from lbc.latency.measurement import Record

CLASSES = (28.0, 32.0, 36.0)
"""Edges of the classes of size, in log₂ of tokens · outputs · inputs."""

INT8_CAVEAT = (
    "int8: the published dense products write int32, the 2:4 ones bfloat16, which flatters 2:4."
)


class Range(NamedTuple):
    """The smallest and largest size in the data."""

    low: int
    high: int


class Ranges(Record):
    """The sizes in the data."""

    tokens: Range
    outputs: Range
    inputs: Range


class Errors(Record):
    """Errors of the speed-up of families of shapes that were left out of the fit, as fractions.

    ``coverage`` is the fraction of these cases within their 80 % intervals.
    """

    median: float
    p90: float
    coverage: float


class Times(NamedTuple):
    """Times in µs, and half the width of the 80 % interval of the logarithm of their ratio."""

    dense_us: Floats
    sparse_us: Floats
    half_width: Floats


class CardModel(Record):
    """All that was fitted for one card and type.

    ``half_widths`` of the intervals belong to the classes of size and grow by ``widening`` with
    each octave beyond the first from the nearest centre of the correction.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    card: str
    rows: int
    families: int
    ranges: Ranges
    errors: Errors
    half_widths: tuple[float, float, float, float]
    widening: float = Field(ge=0)
    predictor: Predictor
    adjustment: Adjustment | None = Field(default=None, exclude=True, repr=False)

    @property
    def dtype(self) -> Type:
        """The type of the operands."""
        return self.predictor.dtype

    @property
    def caveat(self) -> str:
        """How the published products of this type differ from torch's; "" if they do not."""
        return INT8_CAVEAT if self.dtype == "int8" else ""

    def describe(self) -> str:
        """Describe in words what the model was fitted to, and how far off it is."""
        errors = self.errors
        return (
            f"Fitted to {self.rows} published pairs. Speed-ups of model families that were left "
            f"out of the fit were off by {errors.median:.1%} in the median, and by less than "
            f"{errors.p90:.0%} in 9 of 10 cases."
        )

    def times(self, dense: Floats, sparse: Floats) -> Times:
        """Return the times of dense products and their 2:4 counterparts, shapes (rows, 3)."""
        log_dense, log_sparse = self.predictor.log_us(dense, sparse)
        farther = octaves_beyond(sparse, self.predictor)
        half_width = np.array(self.half_widths)[size_class(sparse)] + self.widening * farther
        if self.adjustment is not None:
            corrections, left = self.adjustment.at(sparse)
            log_dense = log_dense + self.adjustment.at(dense)[0][:, 0]
            log_sparse = log_sparse + corrections[:, 1]
            half_width = half_width * np.sqrt(left)
        return Times(np.exp(log_dense), np.exp(log_sparse), half_width)


def size_class(shapes: Floats) -> NDArray[np.intp]:
    """The class of size of each shape, 0 to 3."""
    classes: NDArray[np.intp] = np.digitize(np.log2(shapes).sum(axis=1), CLASSES)
    return classes


def octaves_beyond(shapes: Floats, predictor: Predictor) -> Floats:
    """How far beyond the first octave each shape is from the nearest centre."""
    return np.maximum(distance(shapes, predictor.centre_array) - 1, 0)
