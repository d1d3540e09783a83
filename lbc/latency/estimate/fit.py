"""Fit the times of one card and type to measured pairs, and find the errors of the fit.

Errors and intervals come from families of shapes (the layers of one network) left out of the fit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lbc.latency.estimate.card_model import (
    CardModel,
    Errors,
    Range,
    Ranges,
    octaves_beyond,
    size_class,
)
from lbc.latency.estimate.correction import features, lattice, solve
from lbc.latency.estimate.predictor import Predictor, TimeModel, Type
from lbc.latency.estimate.roofline import Floats, Roofline, megaoperations, traffic

Bools = NDArray[np.bool_]

STRENGTHS = (0.1, 0.2, 0.4, 0.8)
"""Noise of the ridge regressions to choose from."""

NOMINAL = 0.8
"""Fraction of cases that an interval is to contain."""

FEW = 12
"""Residuals below which a class of size takes those of all classes."""

WIDENING = 0.05
"""Growth of an interval's half width with each octave away from the data.

With it, about four in five cases stay in their intervals if all shapes within one to four octaves
of them are left out of the fit (``latency_fit.py --far``).
"""

SCALE = 0.1
"""Log error of a roofline from which residuals count linearly."""

PRIOR = np.array([0.015, 0.015, 0.025, 0.015, 0.025, 1.0])
"""Weight of the distance of each log parameter of a roofline from its start."""


@dataclass(frozen=True)
class Pairs:
    """Measured pairs of one card and type.

    ``cache`` are the megabytes of its L2. ``shapes`` (rows, 3) are tokens, outputs and inputs,
    ``us`` (rows, 2) dense and 2:4 times, ``families`` (rows,) the networks that have the shapes.
    """

    card: str
    dtype: Type
    multiprocessors: int
    cache: float
    shapes: Floats
    us: Floats
    families: NDArray[np.str_]

    def __getitem__(self, rows: Bools) -> Pairs:
        return replace(
            self, shapes=self.shapes[rows], us=self.us[rows], families=self.families[rows]
        )

    @property
    def log_speedup(self) -> Floats:
        ratio: Floats = np.log(self.us[:, 0] / self.us[:, 1])
        return ratio

    def left_out(self) -> Iterator[Bools]:
        """Yield the rows of each family in turn."""
        for family in np.unique(self.families):
            yield self.families == family


def fit_model(pairs: Pairs, widening: float = WIDENING) -> CardModel:
    """Fit the model of a card and type, with errors and intervals from families left out.

    Raises ValueError with fewer than two families.
    """
    families = len(np.unique(pairs.families))
    if families < 2:
        raise ValueError("A fit needs shapes of two networks or more: one is left out at a time.")
    errors, farther = held_out(pairs)
    sizes = size_class(pairs.shapes)
    widths = _class_widths(errors, farther, sizes, widening)
    covered = np.zeros(len(errors), np.bool_)
    for rows in pairs.left_out():
        others = _class_widths(errors[~rows], farther[~rows], sizes[~rows], widening)
        allowed = np.array(others)[sizes[rows]] + widening * farther[rows]
        covered[rows] = np.abs(errors[rows]) <= allowed
    relative = np.abs(np.expm1(errors))
    return CardModel(
        card=pairs.card,
        rows=len(errors),
        families=families,
        ranges=_ranges(pairs.shapes),
        errors=Errors(
            median=round(float(np.median(relative)), 4),
            p90=round(float(np.quantile(relative, 0.9)), 4),
            coverage=round(float(covered.mean()), 4),
        ),
        half_widths=widths,
        widening=widening,
        predictor=fit_predictor(pairs),
    )


def held_out(pairs: Pairs) -> tuple[Floats, Floats]:
    """The error of each log speed-up in a fit without its family, and ``octaves_beyond``."""
    errors, farther = np.zeros(len(pairs.us)), np.zeros(len(pairs.us))
    for rows in pairs.left_out():
        predictor = fit_predictor(pairs[~rows])
        errors[rows] = predictor.log_speedup(pairs.shapes[rows]) - pairs.log_speedup[rows]
        farther[rows] = octaves_beyond(pairs.shapes[rows], predictor)
    return errors, farther


def fit_predictor(pairs: Pairs) -> Predictor:
    """Fit rooflines, then corrections of the strength that predicts families best among pairs."""
    dense = fit_roofline(pairs)
    sparse = fit_roofline(pairs, dense.activation_bandwidth)
    rooflines = (
        dense.us(pairs.dtype, pairs.shapes, False),
        sparse.us(pairs.dtype, pairs.shapes, True),
    )
    residuals = np.log(pairs.us) - np.log(np.stack(rooflines, axis=1))
    speedups = np.exp(pairs.log_speedup)
    centres = lattice(pairs.shapes)
    regressors = features(pairs.shapes, centres, pairs.multiprocessors)
    weights = solve(regressors, residuals, centres, _best_strength(pairs, residuals))
    return Predictor(
        dtype=pairs.dtype,
        multiprocessors=pairs.multiprocessors,
        centres=tuple(map(tuple, centres.tolist())),
        dense=TimeModel(roofline=dense, weights=_rounded(weights[:, 0])),
        sparse=TimeModel(roofline=sparse, weights=_rounded(weights[:, 1])),
        speedups=(float(speedups.min().round(4)), float(speedups.max().round(4))),
    )


def _best_strength(pairs: Pairs, residuals: Floats) -> float:
    """The strength with the smallest mean error of the speed-up of families left out in turn."""
    ratio = residuals[:, 0] - residuals[:, 1]
    costs = np.zeros(len(STRENGTHS))
    for rows in pairs.left_out():
        if rows.all():
            return STRENGTHS[1]
        centres = lattice(pairs.shapes[~rows])
        regressors = features(pairs.shapes, centres, pairs.multiprocessors)
        for i, strength in enumerate(STRENGTHS):
            weights = solve(regressors[~rows], ratio[~rows], centres, strength)
            costs[i] += np.abs(regressors[rows] @ weights - ratio[rows]).sum()
    return STRENGTHS[int(costs.argmin())]


def fit_roofline(pairs: Pairs, activation_bandwidth: float | None = None) -> Roofline:
    """Fit the parameters to the dense times, by soft-L1 in log time (Levenberg–Marquardt).

    With the bandwidth of activations, that of the dense products, the times are those of 2:4. A
    weak prior keeps parameters that the data do not determine near their start.
    """
    sparse = activation_bandwidth is not None
    dtype, shapes, us = pairs.dtype, pairs.shapes, pairs.us[:, int(sparse)]
    start = np.log(
        [
            float((megaoperations(shapes) / us).max()),
            float((sum(traffic(dtype, shapes, sparse)) / us).max()),
            2.0,
            1e5,
            float(us.min()) * 0.8,
            1.0,
        ]
    )

    def roofline(parameters: Floats) -> Roofline:
        peak, bandwidth, exponent, half_size, launch, factor = np.exp(parameters).tolist()
        return Roofline(
            peak=peak,
            weight_bandwidth=bandwidth,
            activation_bandwidth=activation_bandwidth or bandwidth,
            exponent=1 + min(exponent, 20),
            half_size=half_size,
            launch_us=launch,
            cache=pairs.cache,
            cache_factor=1 + factor,
        )

    def residuals(parameters: Floats) -> Floats:
        errors = np.log(roofline(parameters).us(dtype, shapes, sparse) / us) / SCALE
        # Soft-L1 as squares: the sum of these squares is the sum of 2·(√(1 + r²) − 1).
        soft: Floats = np.sign(errors) * np.sqrt(2 * (np.sqrt(1 + errors**2) - 1))
        return np.concatenate([soft, PRIOR * (parameters - start)])

    parameters = _least_squares(residuals, start)
    return roofline(parameters.round(4))


def _least_squares(residuals: Callable[[Floats], Floats], start: Floats, steps: int = 60) -> Floats:
    """Minimise the sum of squares from ``start``."""
    at, found, damping = start, residuals(start), 1e-2
    for _ in range(steps):
        shifted = [residuals(at + 1e-4 * axis) for axis in np.eye(len(at))]
        jacobian = (np.stack(shifted, axis=1) - found[:, None]) / 1e-4
        normal, slope = jacobian.T @ jacobian, jacobian.T @ found
        for _ in range(10):
            step = np.linalg.solve(normal + damping * np.diag(np.diag(normal)), -slope)
            new = residuals(at + np.clip(step, -1, 1))
            if new @ new < found @ found:
                break
            damping *= 4
        else:
            return at
        gained = found @ found - new @ new
        at = at + np.clip(step, -1, 1)
        found, damping = new, max(damping / 3, 1e-8)
        if gained < 1e-9:
            break
    return at


def _class_widths(
    errors: Floats, farther: Floats, sizes: NDArray[np.intp], widening: float
) -> tuple[float, float, float, float]:
    """The quantile of absolute errors in each class, less the growth far from the data."""
    near = np.maximum(np.abs(errors) - widening * farther, 0)

    def width(size: int) -> float:
        chosen = near[sizes == size]
        chosen = chosen if len(chosen) >= FEW else near
        # The usual correction for a finite number of residuals (split conformal prediction).
        level = min(1.0, NOMINAL * (len(chosen) + 1) / len(chosen))
        return round(float(np.quantile(chosen, level)), 4)

    return width(0), width(1), width(2), width(3)


def _ranges(shapes: Floats) -> Ranges:
    low, high = shapes.min(axis=0).astype(int).tolist(), shapes.max(axis=0).astype(int).tolist()
    tokens, outputs, inputs = (Range(*pair) for pair in zip(low, high, strict=True))
    return Ranges(tokens=tokens, outputs=outputs, inputs=inputs)


def _rounded(values: Floats) -> tuple[float, ...]:
    return tuple(float(f"{value:.5g}") for value in values.tolist())
