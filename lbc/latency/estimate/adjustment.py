"""The difference between the published times and a user's own, carried over to similar products.

The errors of an estimate are taken as a Gaussian process in log₂ of tokens, outputs and inputs:
half of their variance is common to products four octaves apart, half only to those one octave
apart. Own measurements condition it: few move their neighbourhood, many decide.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from lbc.latency.estimate.roofline import Floats

VARIANCE = 0.25**2
"""Variance of the log times of the same product on two builds of a card: memory, power, cooling."""

NOISE = 0.03**2
"""Variance of one measured log time."""


@dataclass(frozen=True)
class Adjustment:
    """Measured ``points`` in octaves (rows, 3) and log times over estimates, dense and 2:4."""

    points: Floats
    residuals: Floats

    @cached_property
    def _precision(self) -> Floats:
        covariance = _kernel(self.points, self.points) + NOISE / VARIANCE * np.eye(len(self.points))
        return np.linalg.inv(covariance).astype(np.float64)

    def at(self, shapes: Floats) -> tuple[Floats, Floats]:
        """Return the corrections of log times (rows, 2), and the share of variance that is left."""
        cross = _kernel(np.log2(shapes), self.points)
        gain = cross @ self._precision
        left = 1 - (gain * cross).sum(axis=1)
        return gain @ self.residuals, np.clip(left, NOISE / VARIANCE, 1)


def _kernel(a: Floats, b: Floats) -> Floats:
    squares = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    covariance: Floats = (np.exp(-squares / 32) + np.exp(-squares / 2)) / 2
    return covariance
