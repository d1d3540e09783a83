"""Lists and ranges of values, and the experiments that they make."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.config import Experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.queue.entries import QueueError
from lbc.queue.variations import parse_values, vary


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("4", [4]),
        ("4, 6,8", [4, 6, 8]),
        ("4,4.0,4", [4, 4.0]),
        ("2:4,1:16", ["2:4", "1:16"]),
        ("true,no", [True, "no"]),
        ("[30, 60],[20]", [[30, 60], [20]]),
        ("'1..3'", [1, 2, 3]),
        ("3..6", [3, 4, 5, 6]),
        ("-1..1", [-1, 0, 1]),
        ("4..12/5", [4, 6, 8, 10, 12]),
        ("1..2/3", [1, 1.5, 2]),
        ("0.1..0.3/5", [0.1, 0.15, 0.2, 0.25, 0.3]),
        ("8..4/3", [8, 6, 4]),
        ("1e-4..1e-1/4log", [1e-4, 1e-3, 1e-2, 1e-1]),
        ("0,2..3,adam", [0, 2, 3, "adam"]),
        ("a..b", ["a..b"]),
    ],
)
def test_values_are_read_as_in_an_experiment(text: str, values: list[object]) -> None:
    assert list(parse_values(text)) == values


@pytest.mark.parametrize(
    "text",
    ["", " ", "]", "4,]", "{", "*a", "1..2.5", "8..4", "0..1/1", "0..1/99999999", "0..1/3log",
     "1..99999999", "\x00", "1e999..2/3", "#", "a]: [b"],
)  # fmt: skip
def test_other_text_is_one_sentence(text: str) -> None:
    with pytest.raises(QueueError) as caught:
        parse_values(text)
    assert "\n" not in str(caught.value)


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.integers(2, 50))
def test_a_range_has_its_ends_and_equal_distances(low: float, high: float, count: int) -> None:
    values = parse_values(f"{low!r}..{high!r}/{count}")
    numbers = [float(value) for value in values if isinstance(value, int | float)]
    assert math.isclose(numbers[0], low, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(numbers[-1], high, rel_tol=1e-9, abs_tol=1e-9) or low == high
    assert len(numbers) <= count


def test_a_grid_goes_seed_by_seed(quick: Callable[..., Experiment]) -> None:
    runs = vary(quick(), {"schedule.end": [1, 2], "pattern": ["1:4"]}, seeds=2)
    assert [label for _, label in runs] == [
        "schedule.end=1, pattern=1:4, seed=0", "schedule.end=2, pattern=1:4, seed=0",
        "schedule.end=1, pattern=1:4, seed=1", "schedule.end=2, pattern=1:4, seed=1",
    ]  # fmt: skip
    made = [(one.schedule.end, str(one.pattern), one.seed) for one, _ in runs]
    assert made == [(1, "1:4", 0), (2, "1:4", 0), (1, "1:4", 1), (2, "1:4", 1)]


def test_another_network_has_its_own_settings(quick: Callable[..., Experiment]) -> None:
    (convnet, resnet), labels = zip(
        *vary(quick(), {"model.name": ["mlp", "resnet20"]}), strict=True
    )
    assert labels == ("model.name=mlp", "model.name=resnet20")
    assert convnet.model.name == "mlp" and resnet.model.name == "resnet20"


def test_settings_at_any_depth_and_of_single_layers(quick: Callable[..., Experiment]) -> None:
    ((one, _),) = vary(quick(), {"data.augment.flip": [True], "layers.hidden.0": ["1:4"]})
    assert one.data.augment.flip and str(one.layers["hidden.0"]) == "1:4"
    assert one.data.augment.padding == quick().data.augment.padding


def test_impossible_variations_are_named(quick: Callable[..., Experiment]) -> None:
    with pytest.raises(ExperimentError, match=r"end=3: schedule\.end: Removal ends"):
        vary(quick(), {"schedule.end": [1, 3]})
    with pytest.raises(ExperimentError, match="did you mean 'schedule'"):
        vary(quick(), {"shedule": [1]})
    with pytest.raises(QueueError, match="varied twice"):
        vary(quick(), {"seed": [1]}, seeds=2)
    with pytest.raises(QueueError, match="More than 1,000 runs"):
        vary(quick(), {}, seeds=10**9)
    with pytest.raises(QueueError, match="0 seeds"):
        vary(quick(), {}, seeds=0)
