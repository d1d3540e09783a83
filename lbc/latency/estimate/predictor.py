"""Dense and 2:4 times of one card and type: two rooflines and their corrections."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

import numpy as np
from pydantic import Field

from lbc.latency.estimate.correction import features
from lbc.latency.estimate.roofline import Floats, Roofline
from lbc.latency.measurement import Record

Type = Literal["bfloat16", "float16", "int8", "float8"]


class TimeModel(Record):
    """The times of dense or 2:4 products: a roofline and the weights of its correction."""

    roofline: Roofline
    weights: tuple[float, ...] = Field(repr=False)


class Predictor(Record):
    """The times of any product.

    ``centres`` are those of the correction, in octaves. A speed-up beyond the ``speedups`` in the
    data, which far from them the rooflines can promise, is cut to these.
    """

    dtype: Type
    multiprocessors: int = Field(gt=0)
    centres: tuple[tuple[float, float, float], ...] = Field(repr=False)
    dense: TimeModel
    sparse: TimeModel
    speedups: tuple[float, float]

    @cached_property
    def centre_array(self) -> Floats:
        """The centres as an array (centres, 3)."""
        return np.array(self.centres)

    @cached_property
    def _weights(self) -> tuple[Floats, Floats]:
        return np.array(self.dense.weights), np.array(self.sparse.weights)

    def log_us(self, dense: Floats, sparse: Floats) -> tuple[Floats, Floats]:
        """The log times of dense products and their 2:4 counterparts, shapes (rows, 3).

        None is below that of a launch.
        """
        dense_us = self._log_us(dense, sparse=False)
        sparse_us = self._log_us(sparse, sparse=True)
        sparse_us = dense_us - np.clip(dense_us - sparse_us, *np.log(self.speedups))
        return dense_us, np.maximum(sparse_us, np.log(self.sparse.roofline.launch_us))

    def log_speedup(self, shapes: Floats) -> Floats:
        """The log of dense over 2:4 time."""
        dense, sparse = self.log_us(shapes, shapes)
        return dense - sparse

    def _log_us(self, shapes: Floats, sparse: bool) -> Floats:
        roofline = (self.sparse if sparse else self.dense).roofline
        regressors = features(shapes, self.centre_array, self.multiprocessors)
        time = np.log(roofline.us(self.dtype, shapes, sparse)) + regressors @ self._weights[sparse]
        return np.maximum(time, np.log(roofline.launch_us))
