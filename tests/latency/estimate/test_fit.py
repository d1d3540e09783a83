"""The fit recovers made-up cards, and its errors are those of what it has not seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lbc.latency.estimate.card_model import CardModel
from lbc.latency.estimate.fit import Pairs, fit_model
from lbc.latency.estimate.roofline import Floats, Roofline

DENSE = Roofline(
    peak=200,
    weight_bandwidth=1.5,
    activation_bandwidth=1.5,
    cache=40,
    cache_factor=3,
    exponent=4,
    half_size=2e5,
    launch_us=4,
)
SPARSE = DENSE.model_copy(update={"peak": 340.0, "launch_us": 6.0})
NOISE = 0.02


def made_up(seed: int) -> Pairs:
    """Measured pairs of a made-up card: five networks with three layers each, nine batch sizes."""
    draw = np.random.default_rng(seed)
    layers = [(f"network {i % 5}", *draw.integers(8, 80, 2) * 128) for i in range(15)]
    rows = [(n, m, k) for _, m, k in layers for n in 64 << np.arange(9)]
    shapes = np.array(rows, np.float64)
    exact = true_us(shapes)
    us = exact * np.exp(draw.normal(0, NOISE, exact.shape))
    families = np.repeat([name for name, _, _ in layers], 9)
    return Pairs("made up", "bfloat16", 108, 40.0, shapes, us, families)


def true_us(shapes: Floats) -> Floats:
    times = [DENSE.us("bfloat16", shapes, False), SPARSE.us("bfloat16", shapes, True)]
    return np.stack(times, axis=1)


@pytest.fixture(scope="module")
def fitted() -> CardModel:
    return fit_model(made_up(1))


def test_a_made_up_card_is_recovered(fitted: CardModel) -> None:
    shapes = made_up(2).shapes
    times, exact = fitted.times(shapes, shapes), true_us(shapes)
    for estimated, true in zip((times.dense_us, times.sparse_us), exact.T, strict=True):
        assert np.median(np.abs(np.log(estimated / true))) < NOISE
    dense, sparse = fitted.predictor.dense.roofline, fitted.predictor.sparse.roofline
    assert dense.peak == pytest.approx(200, rel=0.05) and sparse.peak == pytest.approx(
        340, rel=0.05
    )
    assert dense.weight_bandwidth == pytest.approx(1.5, rel=0.3)


def test_held_out_errors_are_those_of_the_noise(fitted: CardModel) -> None:
    assert 0.5 * NOISE < fitted.errors.median < 2 * NOISE
    assert 0.7 < fitted.errors.coverage < 0.9
    assert max(fitted.half_widths) < 5 * NOISE
    assert (fitted.rows, fitted.families, fitted.ranges.tokens) == (135, 5, (64, 16384))


def test_a_family_unlike_the_others_shows_in_the_errors_and_not_in_its_own_intervals() -> None:
    """An error that the fit has seen would not: the correction follows each family's own times."""
    pairs = made_up(1)
    odd = pairs.families == "network 3"
    slowed = pairs.us * np.where(odd, 1.5, 1.0)[:, None] ** [[0, 1]]
    errors = fit_model(replace(pairs, us=slowed)).errors
    assert errors.p90 > 0.2
    assert errors.coverage < 0.85


def test_one_family_cannot_be_fitted() -> None:
    pairs = made_up(1)
    with pytest.raises(ValueError, match="two networks"):
        fit_model(pairs[pairs.families == "network 3"])
