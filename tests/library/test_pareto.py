"""The Pareto front, compared with its definition."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lbc.library.pareto import pareto_front

values = st.integers(-3, 3).map(float) | st.sampled_from([np.nan, np.inf, -np.inf]) | st.floats()
points = st.lists(st.tuples(values, values), max_size=30)


@given(points, st.booleans(), st.booleans())
def test_the_front_is_what_no_other_point_beats(
    pairs: list[tuple[float, float]], lower_x: bool, lower_y: bool
) -> None:
    x, y = np.array(pairs, dtype=float).reshape(-1, 2).T
    front = pareto_front(x, y, (lower_x, lower_y))
    costs = [(px if lower_x else -px, py if lower_y else -py) for px, py in pairs]

    def beats(one: tuple[float, float], other: tuple[float, float]) -> bool:
        return one[0] <= other[0] and one[1] <= other[1] and one != other

    for cost, on_front in zip(costs, front, strict=True):
        missing = bool(np.isnan(cost).any())
        assert on_front == (not missing and not any(beats(other, cost) for other in costs))


def test_equal_points_are_on_the_front_together() -> None:
    x, y = np.array([50.0, 50, 50, 25, 100]), np.array([97.0, 97, 96, 95, 97])
    assert pareto_front(x, y, (True, False)).tolist() == [True, True, False, True, False]
