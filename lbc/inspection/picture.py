"""Colour codes of a weight's mask, and of the difference of two weights.

If several cells share a pixel, the largest code is drawn, so that violations and flipped positions
remain visible at any zoom level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from lbc.inspection.comparison import absolute_differences
from lbc.inspection.rows import Rows, as_floats, in_chunks, rows_shape, weight_rows
from lbc.sparsity.arrays import percentile
from lbc.sparsity.combinations import kept_of
from lbc.sparsity.pattern import Pattern

if TYPE_CHECKING:
    from torch import Tensor

Codes = npt.NDArray[np.uint8]

ZERO = 0
"""A zero weight; in a comparison, zero in both checkpoints."""

SHADES = 126
KEPT = 1
"""First of ``SHADES`` codes for |w| of kept weights, or for their difference, in rising order."""
BROKEN = KEPT + SHADES
"""First of ``SHADES`` codes for |w| of kept weights in violations."""

ONLY_FIRST, ONLY_SECOND = 254, 255
"""Kept in only one of two checkpoints."""

_SAMPLE_SIZE = 100_000


def mask_codes(weight: Tensor, top: float, pattern: Pattern | None) -> Codes:
    """Codes of |w| up to ``top``, from ``ZERO``, ``KEPT`` or, in blocks that break ``pattern``,
    ``BROKEN``: uint8 (O, kernel · I). NaN has the brightest shade."""
    codes = np.empty(rows_shape(tuple(weight.shape)), dtype=np.uint8)
    for part in in_chunks(*codes.shape):
        rows = as_floats(weight_rows(weight, part))
        kept = rows != 0
        codes[part] = np.where(kept, _shades(np.abs(rows), top), ZERO)
        if pattern is not None:
            blocks = kept.reshape(-1, pattern.m)
            broken = (kept_of(blocks, pattern) > pattern.n)[:, None] & blocks
            codes[part] += broken.reshape(kept.shape) * np.uint8(SHADES)
    return codes


def difference_codes(weight: Tensor, other: Tensor, top: float) -> Codes:
    """Codes of the comparison, uint8 (O, kernel · I): ``ZERO``, ``ONLY_FIRST``, ``ONLY_SECOND``, or
    for weights that both keep a shade of |difference| up to ``top``."""
    codes = np.empty(rows_shape(tuple(weight.shape)), dtype=np.uint8)
    for part in in_chunks(*codes.shape):
        rows, others = (as_floats(weight_rows(at, part)) for at in (weight, other))
        one, two = rows != 0, others != 0
        shades = _shades(absolute_differences(rows, others), top)
        codes[part] = np.where(
            one, np.where(two, shades, ONLY_FIRST), np.where(two, ONLY_SECOND, ZERO)
        )
    return codes


def sample(weight: Tensor) -> Rows:
    """Evenly spaced weights, enough to estimate a percentile."""
    flat = weight.reshape(-1)[:: max(1, weight.numel() // _SAMPLE_SIZE)]
    return as_floats(flat)


def top_level(magnitudes: Rows) -> float:
    """The level of the brightest shade: the 99.5th percentile of finite, nonzero magnitudes.

    A percentile rather than the maximum, so that one outlier does not darken everything; 1 if all
    are zero.
    """
    nonzero = magnitudes[np.isfinite(magnitudes) & (magnitudes != 0)]
    return percentile(nonzero, 99.5) if len(nonzero) else 1.0


def _shades(magnitudes: Rows, top: float) -> Codes:
    with np.errstate(over="ignore", invalid="ignore"):
        shades = np.fmin(magnitudes * ((SHADES - 1) / top), SHADES - 1)  # fmin drops NaN
    shades += KEPT
    result: Codes = shades.astype(np.uint8)
    return result
