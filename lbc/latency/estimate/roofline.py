"""The time of a matrix product from peak rate, bandwidths and launch time (a roofline).

t = ((F/P · (1 + h / (tokens · outputs)))ᵃ + (B/W + C/V)ᵃ)^(1/a) + t₀, with F operations, P the peak
rate, B and C the bytes of the weight and of the activations, W and V their bandwidths, and t₀ the
launch time; the exponent a rounds the corner where both limits meet, and h is the size of output at
which half of the peak is reached. W is V for dense products; for 2:4 ones V is that of the dense.

The published products were repeated with the same operands, so those that fit the L2 cache are read
from it: where B + C is smaller than the cache, W and V are larger by a factor.

Shapes are arrays (rows, 3) of tokens, outputs and inputs; times are in microseconds.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lbc.latency.measurement import Record

Floats = NDArray[np.float64]

VALUE_BYTES = {"bfloat16": 2, "float16": 2, "int8": 1, "float8": 1}
"""Bytes of an operand's value."""

INDEX_BYTES = 0.25
"""Two bits of metadata for each value that 2:4 keeps."""

CACHE_EDGE = 8
"""Steepness of the step in bandwidth where operands outgrow the cache."""


def output_bytes(dtype: str, sparse: bool) -> int:
    """Bytes of a result's value in the published data: int8 writes int32, with 2:4 bfloat16."""
    return 4 if dtype == "int8" and not sparse else 2


class Parts(NamedTuple):
    """Microseconds of the arithmetic, of reading the weight, and of activations and results."""

    compute: Floats
    weights: Floats
    activations: Floats


class Traffic(NamedTuple):
    """Megabytes of the weight, and of activations and results together."""

    weights: Floats
    activations: Floats


def traffic(dtype: str, shapes: Floats, sparse: bool) -> Traffic:
    """The least memory traffic of products: every operand is read and written once."""
    tokens, outputs, inputs = shapes.T
    size = VALUE_BYTES[dtype]
    weight = (size + INDEX_BYTES) / 2 if sparse else size
    activations = size * inputs + output_bytes(dtype, sparse) * outputs
    return Traffic(weight * outputs * inputs / 1e6, activations * tokens / 1e6)


def megaoperations(shapes: Floats) -> Floats:
    """Millions of operations of the dense products, two for each multiplication."""
    product: Floats = 2 * shapes.prod(axis=1) / 1e6
    return product


class Roofline(Record):
    """The parameters: TFLOP/s, TB/s of weights and activations from memory, MB of L2 cache, its
    bandwidth over memory's, exponent, values of output, µs.

    With 2:4 the operations are those of the dense product, so its peak is about twice as high.
    """

    peak: float = Field(gt=0)
    weight_bandwidth: float = Field(gt=0)
    activation_bandwidth: float = Field(gt=0)
    cache: float = Field(gt=0)
    cache_factor: float = Field(ge=1)
    exponent: float = Field(ge=1)
    half_size: float = Field(ge=0)
    launch_us: float = Field(gt=0)

    def parts(self, dtype: str, shapes: Floats, sparse: bool) -> Parts:
        """The times of the arithmetic and of the memory traffic, each as if alone."""
        fill = 1 + self.half_size / (shapes[:, 0] * shapes[:, 1])
        weights, activations = traffic(dtype, shapes, sparse)
        missed = 1 / (1 + (self.cache / (weights + activations)) ** CACHE_EDGE)
        share = missed + (1 - missed) / self.cache_factor
        return Parts(
            megaoperations(shapes) / self.peak * fill,
            share * weights / self.weight_bandwidth,
            share * activations / self.activation_bandwidth,
        )

    def us(self, dtype: str, shapes: Floats, sparse: bool) -> Floats:
        """The time of each product."""
        parts = self.parts(dtype, shapes, sparse)
        compute, memory = np.log(parts.compute), np.log(parts.weights + parts.activations)
        corner = np.logaddexp(self.exponent * compute, self.exponent * memory) / self.exponent
        time: Floats = np.exp(corner) + self.launch_us
        return time
