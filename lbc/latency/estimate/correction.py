"""A smooth correction of the logarithm of a roofline's time.

A Gaussian process in log₂ of tokens, outputs and inputs, with radial basis functions one and four
octaves wide, and linear in how full the last wave of tiles is. It is approximated on a lattice of
centres near the data (subset of regressors: Quiñonero-Candela and Rasmussen, JMLR 2005), so a fit
is one ridge regression. Far from all data the correction tends to a constant.
"""

from __future__ import annotations

import numpy as np

from lbc.latency.estimate.roofline import Floats

SCALES = ((1.0, 0.3), (4.0, 1.0))
"""Widths of the basis functions in octaves, and the variance of each."""

LATTICE = np.array([2.0, 1.0, 1.0])
"""The spacing of the centres in octaves of tokens, outputs and inputs."""

TILES = ((128, 128), (256, 128), (128, 256), (256, 256))
"""Tokens × outputs that one multiprocessor computes at a time: cuBLAS's and cuSPARSELt's usual."""

WAVE_VARIANCE = 0.3


def lattice(shapes: Floats) -> Floats:
    """Return the lattice points nearest to any of the shapes, in octaves, without repetitions."""
    points: Floats = np.unique(np.round(np.log2(shapes) / LATTICE) * LATTICE, axis=0)
    return points


def kernel(a: Floats, b: Floats) -> Floats:
    """The prior covariance between points in octaves: (rows of a, rows of b)."""
    squares = ((a[:, None, :] - b[None, :, :]) ** 2).sum(axis=2)
    parts = [variance * np.exp(squares / (-2 * width**2)) for width, variance in SCALES]
    total: Floats = np.sum(parts, axis=0)
    return total


def distance(shapes: Floats, centres: Floats) -> Floats:
    """Octaves from each shape to the nearest centre."""
    squares = ((np.log2(shapes)[:, None, :] - centres[None, :, :]) ** 2).sum(axis=2)
    nearest: Floats = np.sqrt(squares.min(axis=1))
    return nearest


def features(shapes: Floats, centres: Floats, multiprocessors: int) -> Floats:
    """The regressors: a basis function for each centre, the waves of each tile, a constant."""
    waves = np.stack([_last_wave(shapes, tile, multiprocessors) for tile in TILES], axis=1)
    bases = kernel(np.log2(shapes), centres)
    constant = np.ones((len(shapes), 1))
    return np.concatenate([bases, np.sqrt(WAVE_VARIANCE) * waves, constant], axis=1)


def solve(regressors: Floats, residuals: Floats, centres: Floats, noise: float) -> Floats:
    """Fit the weights of the regressors, a column for each column of residuals (ridge regression).

    ``noise`` is the variance of the residuals' noise relative to that of the process.
    """
    prior = (1 + 1e-6) * np.eye(regressors.shape[1])
    prior[: len(centres), : len(centres)] += kernel(centres, centres) - np.eye(len(centres))
    normal = regressors.T @ regressors + noise * prior
    return np.linalg.solve(normal, regressors.T @ residuals).astype(np.float64)


def _last_wave(shapes: Floats, tile: tuple[int, int], multiprocessors: int) -> Floats:
    """The logarithm of the share of multiprocessors' turns that have a tile to compute.

    Half is the least: a product of so few tiles takes one turn however few they are.
    """
    tiles = np.ceil(shapes[:, 0] / tile[0]) * np.ceil(shapes[:, 1] / tile[1])
    waves = tiles / multiprocessors
    share: Floats = np.log(np.maximum(waves / np.ceil(waves), 0.5))
    return share
