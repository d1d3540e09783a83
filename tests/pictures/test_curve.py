"""Curves lose no extreme at any zoom; smoothing and bands do what their definitions say."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lbc.pictures.curve import LARGEST, Columns, Curve, Singles, envelope, singles
from lbc.pictures.curve_means import fold, smooth

Floats = npt.NDArray[np.float64]

values = st.floats(-1e6, 1e6) | st.sampled_from([np.nan, np.inf, -np.inf, 0.0])
ys = hnp.arrays(np.float64, st.integers(0, 120), elements=values)
moves = st.sampled_from([0.0, 0.5, 1.0, 90.0])


@st.composite
def curves(draw: st.DrawFn) -> Curve:
    """Curves with gaps, jumps in x, and points at the same x."""
    y = draw(ys)
    return Curve(np.cumsum(draw(hnp.arrays(np.float64, len(y), elements=moves))), singles(y))


@given(curves(), st.floats(-10, 400), st.floats(0.1, 9000), st.integers(1, 60))
def test_every_extreme_is_drawn_in_its_own_column(
    curve: Curve, low: float, width: float, count: int
) -> None:
    columns = Columns(low, low + width, count)
    x, y = curve.trace(columns)
    inside = (curve.x >= low) & (curve.x <= columns.high) & np.isfinite(curve.y)
    drawn = (x >= low) & (x <= columns.high) & np.isfinite(y)
    assert len(x) <= 2 * (count + 1)
    assert curve.extremes(low, columns.high) == (
        (curve.y[inside].min(), curve.y[inside].max()) if inside.any() else None
    )

    def by_column(at: Floats, y: Singles) -> dict[int, tuple[float, float]]:
        bounds = np.linspace(low, columns.high, count + 1)[1:-1]
        found = np.searchsorted(bounds, at, side="right")
        return {int(k): (y[found == k].min(), y[found == k].max()) for k in np.unique(found)}

    assert by_column(x[drawn], y[drawn]) == by_column(curve.x[inside], curve.y[inside])


@given(curves(), st.floats(0, 300), st.floats(1, 900))
def test_a_line_reaches_from_the_point_before_the_view_to_the_one_after(
    curve: Curve, low: float, width: float
) -> None:
    x, _ = curve.trace(Columns(low, low + width, 5))
    before, after = curve.x[curve.x < low], curve.x[curve.x > low + width]
    assert not len(before) or x[0] == before[-1]
    assert not len(after) or x[-1] == after[0]


@given(curves())
def test_gaps_are_where_values_are_not_finite(curve: Curve) -> None:
    gaps = np.flatnonzero(np.isnan(curve.y))
    assert curve.first_gap == (gaps[0] if len(gaps) else None)
    positive = curve.positive()
    assert np.array_equal(np.isfinite(positive.y), curve.y > 0)


def test_the_point_that_is_meant_is_the_nearest_in_y_within_reach() -> None:
    curve = Curve(np.arange(6.0), singles(np.array([0, 9, 1, np.nan, 4, 4])))
    assert curve.nearest(2, 8, reach=1.5) == 1
    assert curve.nearest(2, 0, reach=1.5) == 2
    assert curve.nearest(2.9, 4, reach=0.2) == 3  # in a gap
    assert [curve.nearest(x, 0, reach=0.1) for x in (-5, 1.4, 1.6, 99)] == [0, 1, 2, 5]


def test_a_value_too_large_for_the_picture_stays_visible() -> None:
    y = singles(np.array([1e300, -1e300, np.inf, 1.0, np.nan]))
    assert np.array_equal(y, np.array([LARGEST, -LARGEST, np.inf, 1, np.nan], "f4"), equal_nan=True)


@given(ys, st.sampled_from([1.0, 7.0, 200.0]))
def test_smoothing_is_the_weighted_mean_of_the_points_so_far(y: Floats, span: float) -> None:
    smoothed = smooth(Curve(np.arange(len(y), dtype=float), singles(y)), span)
    total = weight = 0.0
    for value, found in zip(y, smoothed.y, strict=True):
        total, weight = total * np.exp(-1 / span), weight * np.exp(-1 / span)
        if np.isfinite(value):
            total, weight = total + value, weight + 1
            assert found == pytest.approx(total / weight, rel=1e-5, abs=0.2)
        else:
            assert np.isnan(found)


def test_a_band_folds_runs_of_different_lengths() -> None:
    x = np.arange(1.0, 5.0)
    short, long = (
        Curve(x[:2], singles(np.array([1, 5]))),
        Curve(x, singles(np.array([3, 5, 7, np.nan]))),
    )
    band = fold([short, long], "range")
    assert np.array_equal(band.mean.x, x)
    assert np.array_equal(band.mean.y, [2, 5, 7, np.nan], equal_nan=True)
    assert np.array_equal(band.low.y, [1, 5, 7, np.nan], equal_nan=True)
    assert np.array_equal(band.high.y, [3, 5, 7, np.nan], equal_nan=True)
    deviations = fold([short, long], "deviation")
    assert deviations.high.y[:3] == pytest.approx([2 + 2**0.5, 5, 7])
    assert deviations.low.y[:3] == pytest.approx([2 - 2**0.5, 5, 7])


def test_a_band_over_time_takes_the_mean_duration_of_every_step() -> None:
    quick = Curve(np.array([1.0, 2, 3, 4]), singles(np.zeros(4)))
    slow = Curve(np.array([3.0, 6]), singles(np.zeros(2)))
    assert fold([quick, slow], "range").mean.x.tolist() == [2, 4, 5, 6]


@given(st.lists(ys.filter(len), min_size=1, max_size=4), st.integers(1, 40))
def test_no_extreme_of_a_seed_is_outside_the_band_that_is_drawn(
    seeds: list[Floats], count: int
) -> None:
    x = np.arange(120.0)
    band = fold([Curve(x[: len(y)], singles(y)) for y in seeds], "range")
    _, low, high = envelope(band.low, band.high, Columns(0, 120, count))
    finite = np.concatenate([singles(y)[np.isfinite(y)] for y in seeds])
    if len(finite):
        assert (np.nanmin(low), np.nanmax(high)) == (finite.min(), finite.max())
