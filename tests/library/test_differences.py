"""Settings of several runs are compared by dotted key, absent ones too."""

from __future__ import annotations

import pytest

from lbc.config import parse_experiment
from lbc.library.differences import (
    compare_settings,
    differing_settings,
    identify_experiment,
    label_runs,
)
from lbc.library.run_summary import Parameters, Value, flatten_experiment


def parameters(**settings: object) -> Parameters:
    return flatten_experiment(parse_experiment(settings))


def test_only_what_differs_is_listed() -> None:
    runs = [parameters(optimizer={"lr": rate}, seed=seed) for rate, seed in ((0.1, 0), (0.2, 1))]
    found = {setting.key: setting.values for setting in differing_settings(runs)}
    assert found == {"optimizer.lr": (0.1, 0.2), "seed": (0, 1)}
    every = compare_settings(runs)
    assert {setting.key for setting in every} == set(runs[0])
    assert [setting.key for setting in every] == list(runs[0])


def test_what_another_model_does_not_have_is_absent_and_stays_in_its_section() -> None:
    runs = [parameters(model={"name": name}) for name in ("mlp", "resnet20")]
    settings = compare_settings(runs)
    found = {setting.key: setting.values for setting in settings if setting.differs}
    assert found["model.name"] == ("mlp", "resnet20")
    absent = {key for key, values in found.items() if None in values}
    assert absent and all(key.startswith("model.") for key in absent)
    sections = [setting.key.partition(".")[0] for setting in settings]
    assert sections == sorted(sections, key=sections.index)


@pytest.mark.parametrize(
    ("first", "second", "differs"),
    [(1, 1.0, False), (True, 1, True), ("none", None, True), (0.1, "0.1", True), ("a", "a", False)],
)
def test_values_of_other_kinds_differ(first: Value, second: Value | None, differs: bool) -> None:
    runs: list[Parameters] = [{"k": first}, {} if second is None else {"k": second}]
    assert bool(differing_settings(runs)) is differs


def test_runs_are_labelled_by_what_differs() -> None:
    runs = [
        parameters(name=name, optimizer={"lr": rate}, seed=seed)
        for name, rate, seed in (("a", 0.1, 0), ("b", 0.2, 0), ("c", 0.2, 1))
    ]
    assert label_runs(runs) == ("lr 0.1, seed 0", "lr 0.2, seed 0", "lr 0.2, seed 1")
    assert label_runs(runs[:1]) == ("",)
    weights = [{"training.weights": ""}, {"training.weights": "a.pt"}]
    assert label_runs(weights) == ("no weights", "weights a.pt")
    assert label_runs([{"a.k": 1, "b.k": 1}, {"a.k": 2, "b.k": 3}]) == (
        "a.k 1, b.k 1",
        "a.k 2, b.k 3",
    )
    assert label_runs([{"model.name": "mlp", "name": "a"}, {"model.name": "resnet18"}]) == (
        "model mlp", "model resnet18",
    )  # fmt: skip
    assert (
        identify_experiment(runs[1]) == identify_experiment(runs[2]) != identify_experiment(runs[0])
    )


def test_five_hundred_settings_of_a_hundred_runs_are_compared() -> None:
    runs: list[Parameters] = [
        {f"section{k % 7}.setting{k}": k * (run if k == 3 else 1) for k in range(500)}
        for run in range(100)
    ]
    assert [setting.key for setting in differing_settings(runs)] == ["section3.setting3"]
    assert len(compare_settings(runs)) == 500
