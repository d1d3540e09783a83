"""Colour codes of a weight's mask, and of the difference of two weights. Pure numpy.

If several cells share a pixel, the largest code is drawn, so that violations and flipped positions
remain visible at any zoom level.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lbc.inspection.comparison import absolute_differences
from lbc.inspection.rows import Rows, in_chunks
from lbc.inspection.violations import Violations
from lbc.sparsity.arrays import percentile

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


def mask_codes(rows: Rows, top: float, violations: Violations | None) -> Codes:
    """Codes of |w| up to ``top``, from ``ZERO``, ``KEPT`` or ``BROKEN``: uint8 (O, kernel · I).

    NaN has the brightest shade.
    """
    codes = np.empty(rows.shape, dtype=np.uint8)
    for part in in_chunks(*rows.shape):
        codes[part] = np.where(rows[part] != 0, _shades(np.abs(rows[part]), top), ZERO)
    if violations is not None and len(violations):
        blocks = codes.reshape(-1, violations.pattern.m)
        blocks[violations.blocks] += violations.members * np.uint8(SHADES)
    return codes


def difference_codes(rows: Rows, others: Rows, top: float) -> Codes:
    """Codes of the comparison, uint8 (O, kernel · I): ``ZERO``, ``ONLY_FIRST``, ``ONLY_SECOND``, or
    for weights that both keep a shade of |difference| up to ``top``."""
    codes = np.empty(rows.shape, dtype=np.uint8)
    for part in in_chunks(*rows.shape):
        one, other = rows[part] != 0, others[part] != 0
        shades = _shades(absolute_differences(rows[part], others[part]), top)
        codes[part] = np.where(
            one, np.where(other, shades, ONLY_FIRST), np.where(other, ONLY_SECOND, ZERO)
        )
    return codes


def sample(rows: Rows) -> Rows:
    """Evenly spaced weights, enough to estimate a percentile."""
    result: Rows = rows.ravel()[:: max(1, rows.size // _SAMPLE_SIZE)]
    return result


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
