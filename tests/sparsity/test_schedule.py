"""The schedule follows its formula to the last combination, and never gives one back."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations, pairwise
from math import ceil, inf, isqrt, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.sparsity.pattern import Pattern
from lbc.sparsity.schedule import KINDS, Kind, Schedule, density_bounds

PATTERNS = [Pattern(2, 4), Pattern(1, 4), Pattern(4, 8), Pattern(1, 16), Pattern(8, 16)]
HUGE = Pattern(1024, 2048)

patterns = st.sampled_from([*PATTERNS, HUGE])
epochs = st.floats(0, 1000, allow_nan=False).map(lambda epoch: round(epoch, 3))


@st.composite
def schedules(draw: st.DrawFn) -> Schedule:
    start = draw(epochs)
    length = draw(st.floats(0.001, 500))
    exponent = draw(st.one_of(st.integers(1, 6), st.floats(0.1, 6)))
    steps = draw(st.integers(1, 20))
    return Schedule(draw(st.sampled_from(KINDS)), start, start + length, exponent, steps)


def published(pattern: Pattern, start: int, end: int, power: int, epoch: Fraction) -> int:
    """1 + ⌈(C − 1)(1 − f)^p⌉ with f clamped to [0, 1], in exact arithmetic."""
    f = (epoch - start) / (end - start)
    f = Fraction(0) if f < 0 else Fraction(1) if f > 1 else f
    return 1 + ceil((pattern.count - 1) * (1 - f) ** power)


@given(
    patterns, st.integers(0, 100), st.integers(1, 200), st.integers(1, 6), st.integers(-50, 4000)
)
def test_the_polynomial_is_the_published_formula_exactly(
    pattern: Pattern, start: int, length: int, power: int, eighths: int
) -> None:
    schedule = Schedule("polynomial", start, start + length, power)
    expected = published(pattern, start, start + length, power, Fraction(eighths, 8))
    assert schedule.live(pattern, eighths / 8) == expected


@given(patterns, st.integers(1, 300), st.integers(0, 300))
def test_linear_and_step_are_exact_too(pattern: Pattern, end: int, epoch: int) -> None:
    left = 1 - min(Fraction(epoch, end), Fraction(1))
    surplus = pattern.count - 1
    assert Schedule("linear", 0, end).live(pattern, epoch) == 1 + ceil(surplus * left)
    stairs = 1 - Fraction(int((1 - left) * 5), 5)
    assert Schedule("step", 0, end, steps=5).live(pattern, epoch) == 1 + ceil(surplus * stairs)


def test_the_resnet_recipe_at_4_8() -> None:
    live = [Schedule(end=60).live(Pattern(4, 8), epoch) for epoch in (0, 1, 30, 45, 59, 60, 119)]
    assert live == [70, 67, 10, 3, 2, 1, 1]


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("polynomial", [70, 31, 10, 3, 1]),
        ("linear", [70, 53, 36, 19, 1]),
        ("cosine", [70, 60, 36, 12, 1]),
        ("exponential", [70, 25, 9, 3, 1]),
        ("step", [70, 53, 36, 19, 1]),
    ],
)
def test_every_kind_has_its_own_course(kind: Kind, expected: list[int]) -> None:
    schedule = Schedule(kind, 10, 18)
    assert [schedule.live(Pattern(4, 8), epoch) for epoch in (10, 12, 14, 16, 18)] == expected


def test_the_polynomial_is_exact_where_floats_are_not() -> None:
    for power in (3, 100):
        expected = published(HUGE, 0, 3, power, Fraction(1))
        assert Schedule("polynomial", 0, 3, power).live(HUGE, 1) == expected


def test_the_exponential_takes_roots_of_the_count() -> None:
    assert Schedule("exponential", 0, 2).live(Pattern(1, 4), 1) == 2
    schedule = Schedule("exponential", 1, 5)
    assert schedule.live(Pattern(32, 64), 0.5) == Pattern(32, 64).count  # not a float's value
    half, quarter = isqrt(HUGE.count), isqrt(isqrt(HUGE.count))
    assert abs(schedule.live(HUGE, 3) - half) < half >> 38
    assert abs(schedule.live(HUGE, 4) - quarter) < quarter >> 38


def test_the_defaults_are_the_resnet_recipe() -> None:
    assert Schedule() == Schedule("polynomial", start=0, end=60, exponent=3, steps=4)


def test_step_waits_in_between() -> None:
    schedule = Schedule("step", 0, 8, steps=2)
    assert [schedule.live(Pattern(2, 4), epoch) for epoch in (0, 3.9, 4, 7.9, 8)] == [6, 6, 4, 4, 1]


@given(schedules(), patterns)
def test_all_live_up_to_the_start_and_one_from_the_end(
    schedule: Schedule, pattern: Pattern
) -> None:
    for epoch in (schedule.start, schedule.start - 0.5, 0.0, -7.0):
        if epoch <= schedule.start:
            assert schedule.live(pattern, epoch) == pattern.count
    for epoch in (schedule.end, schedule.end + 0.5, schedule.end * 10 + 1):
        assert schedule.live(pattern, epoch) == 1


@given(schedules(), patterns, st.lists(st.floats(-0.5, 1.5), min_size=2, max_size=30))
def test_combinations_never_come_back(
    schedule: Schedule, pattern: Pattern, moments: list[float]
) -> None:
    span = schedule.end - schedule.start
    course = [schedule.live(pattern, schedule.start + at * span) for at in sorted(moments)]
    assert all(before >= after for before, after in pairwise(course))
    assert all(1 <= live <= pattern.count for live in course)


@given(schedules(), patterns, st.floats(0, 1, exclude_min=True, exclude_max=True))
def test_more_than_one_lives_before_the_end(
    schedule: Schedule, pattern: Pattern, at: float
) -> None:
    epoch = schedule.start + at * (schedule.end - schedule.start)
    if epoch < schedule.end:
        assert schedule.live(pattern, epoch) >= 2


@pytest.mark.parametrize("exponent", [1e9, 1e300, 99.5])
def test_an_enormous_exponent_costs_no_more_than_a_small_one(exponent: float) -> None:
    assert Schedule(end=60, exponent=exponent).live(Pattern(2, 4), 30) == 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"kind": "square"}, "choose polynomial, linear, cosine, exponential, step"),
        ({"start": -1}, "at 0 or later"),
        ({"start": 5, "end": 5}, "ends .* before it starts"),
        ({"start": 5, "end": 4}, "ends .* before it starts"),
        ({"exponent": 0}, "above 0"),
        ({"steps": 0}, "at least one"),
        ({"start": nan}, "start must be a finite number"),
        ({"end": inf}, "end must be a finite number"),
        ({"exponent": nan}, "exponent must be a finite number"),
    ],
)
def test_impossible_schedules_are_refused(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Schedule(**settings)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "pattern", [Pattern(1, 3), Pattern(2, 4), Pattern(1, 5), Pattern(3, 5), Pattern(4, 8, 2)]
)
def test_density_bounds_are_those_of_all_possible_live_sets(pattern: Pattern) -> None:
    candidates = [set(held) for held in pattern.member_array.tolist()]
    for live in range(1, pattern.count + 1):
        kept = [len(set().union(*chosen)) for chosen in combinations(candidates, live)]
        expected = (min(kept) / pattern.m, max(kept) / pattern.m)
        assert density_bounds(pattern, live) == expected


def test_2_4_stays_three_quarters_dense_until_it_is_decided() -> None:
    assert density_bounds(Pattern(2, 4), 2)[0] == 0.75
    assert density_bounds(Pattern(2, 4), 1) == (0.5, 0.5)


@pytest.mark.parametrize("live", [0, -1, 7])
def test_density_bounds_of_an_impossible_number_are_refused(live: int) -> None:
    with pytest.raises(ValueError, match="it has 1 to 6"):
        density_bounds(Pattern(2, 4), live)
