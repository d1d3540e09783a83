"""Columns of runs as axes, and what a trained network costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lbc.config import dump_experiment, parse_experiment
from lbc.files.resources import resource
from lbc.latency.files import load_measurements, save_measurements
from lbc.library.run_cost import CostReader, RunCost, kept_macs
from lbc.library.run_summary import RunSummary
from lbc.library.run_values import RunValues


def run(name: str, **changes: object) -> RunSummary:
    return RunSummary(Path(name), "finished", **changes)  # type: ignore[arg-type]


def test_columns_are_numbers_or_places_among_categories() -> None:
    values = RunValues(
        [
            run("a", pattern="8:16", accuracy=0.97, seconds=90, parameters={"optimizer.lr": 0.1}),
            run("b", pattern="2:4", accuracy=None, seconds=60, parameters={"optimizer.lr": 10}),
            run("c", pattern="2:4", parameters={"optimizer.lr": "none"}),
        ],
        {Path("a"): RunCost(macs=3.5)},
    )
    accuracy = values.axis("accuracy")
    assert accuracy.values == pytest.approx([97, np.nan, np.nan], nan_ok=True)
    assert (accuracy.title, accuracy.text(0), accuracy.text(1)) == ("accuracy %", "97", "–")
    assert (accuracy.range, accuracy.spans_decades) == ((97, 97), False)
    pattern = values.axis("n:m")
    assert pattern.categories == ("2:4", "8:16")
    assert (pattern.values.tolist(), pattern.text(0)) == ([1, 0, 0], "8:16")
    lr = values.axis("optimizer.lr")
    assert (lr.categories, lr.values.tolist()) == (("0.1", "10", "none"), [0, 1, 2])
    costs = values.axis("MACs (million)")
    assert costs.values == pytest.approx([3.5, np.nan, np.nan], nan_ok=True)
    assert values.axis("latency (µs)").range is None
    assert values.differing == ("n:m", "optimizer.lr", "duration")
    assert {"accuracy", "latency (µs)", "optimizer.lr"} < set(values.names)
    numeric = RunValues([run(str(lr), parameters={"lr": lr}) for lr in (0.01, 1)], {}).axis("lr")
    assert numeric.spans_decades and numeric.range == (0.01, 1)


def test_the_cost_of_a_run_counts_the_weights_it_keeps(tmp_path: Path) -> None:
    model = {"name": "mlp", "width": 64, "depth": 3}
    dense = parse_experiment({"model": model, "method": "dense"})
    sparse = parse_experiment({"model": model, "pattern": "1:4"})
    hidden = 784 * 64 + 64 * 64
    assert kept_macs(dense) == hidden + 64 * 10
    assert kept_macs(sparse) == hidden / 4 + 64 * 10
    (tmp_path / "experiment.yaml").write_text(dump_experiment(sparse))
    reader = CostReader()
    assert reader.read(tmp_path) == RunCost(macs=kept_macs(sparse) / 1e6)
    measured = load_measurements(resource("measurements/cpu-amd-epyc-one-thread.json"))
    save_measurements(tmp_path / "latency.json", measured)
    assert (reader.read(tmp_path).latency or 0) > 0


def test_costs_that_are_not_known_are_none(tmp_path: Path) -> None:
    reader = CostReader()
    assert reader.read(tmp_path) == RunCost()
    external = parse_experiment({"model": {"import": "nowhere:make"}})
    (tmp_path / "experiment.yaml").write_text(dump_experiment(external))
    (tmp_path / "latency.json").write_text("{}")
    assert reader.read(tmp_path) == RunCost()
