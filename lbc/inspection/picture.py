"""From a weight to the colour codes of its mask picture, and of a difference. Pure numpy.

Of several cells that share a pixel the greatest code is drawn: a violation is never lost in a
reduced picture, nor is a flipped position.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lbc.inspection.comparison import distances
from lbc.inspection.rows import Rows, in_chunks
from lbc.inspection.violations import Violations

Codes = npt.NDArray[np.uint8]

ZERO = 0
"""A weight that is zero, in both checkpoints where two are compared."""

SHADES = 126
KEPT = 1
"""The smallest |w| of a kept weight, or no difference; ``SHADES`` codes from here on."""
BROKEN = KEPT + SHADES
"""The smallest |w| of a kept weight in a violation; ``SHADES`` codes from here on."""

ONLY_FIRST, ONLY_SECOND = 254, 255
"""Kept in one of two checkpoints alone."""

_SAMPLE = 100_000


def mask_codes(rows: Rows, top: float, violations: Violations | None) -> Codes:
    """uint8 (O, kernel · I): ``ZERO``, or a shade of |w| up to ``top``, in violations or not.

    What is not a number has the brightest shade.
    """
    codes = np.empty(rows.shape, dtype=np.uint8)
    for part in in_chunks(*rows.shape):
        codes[part] = np.where(rows[part] != 0, _shades(np.abs(rows[part]), top), ZERO)
    if violations is not None and len(violations):
        blocks = codes.reshape(-1, violations.pattern.m)
        blocks[violations.blocks] += violations.members * np.uint8(SHADES)
    return codes


def difference_codes(rows: Rows, others: Rows, top: float) -> Codes:
    """uint8 (O, kernel · I): ``ZERO`` in both, ``ONLY_FIRST``, ``ONLY_SECOND``, or where both keep
    the weight a shade of |difference| up to ``top``."""
    codes = np.empty(rows.shape, dtype=np.uint8)
    for part in in_chunks(*rows.shape):
        one, other = rows[part] != 0, others[part] != 0
        shades = _shades(distances(rows[part], others[part]), top)
        codes[part] = np.where(
            one, np.where(other, shades, ONLY_FIRST), np.where(other, ONLY_SECOND, ZERO)
        )
    return codes


def sampled(rows: Rows) -> Rows:
    """Weights at regular distances, enough of them to find a level by."""
    sample: Rows = rows.ravel()[:: max(1, rows.size // _SAMPLE)]
    return sample


def top_level(magnitudes: Rows) -> float:
    """The level of the brightest shade: the 99.5th percentile of what is finite and not zero.

    Not the extreme, so that one weight cannot dim all others; 1 where all is zero.
    """
    lit = magnitudes[np.isfinite(magnitudes) & (magnitudes != 0)]
    return float(np.percentile(lit, 99.5)) if len(lit) else 1.0


def _shades(magnitudes: Rows, top: float) -> Codes:
    with np.errstate(over="ignore", invalid="ignore"):
        shades = np.fmin(magnitudes * ((SHADES - 1) / top), SHADES - 1)  # fmin drops NaN
    shades += KEPT
    result: Codes = shades.astype(np.uint8)
    return result
