"""A comparison trains missing runs; the significance test is exact."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.cli.main import main
from lbc.comparison.statistics import mean_and_deviation, paired_p, smallest_p
from lbc.comparison.trials import plan_trials
from lbc.config import Experiment, dump_experiment, parse_experiment
from lbc.sparsity.pattern import Pattern

VALUES = st.lists(st.floats(-100, 100).map(lambda x: round(x, 3)), min_size=1, max_size=8)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    experiment = parse_experiment({
        "name": "tiny",
        "model": {"name": "mlp", "width": 16, "depth": 3},
        "training": {"epochs": 1, "batch_size": 1000},
        "schedule": {"end": 1},
    })  # fmt: skip
    path = tmp_path / "tiny.yaml"
    path.write_text(dump_experiment(experiment))
    return path


@given(VALUES)
def test_the_paired_test_counts_all_sign_patterns_of_the_differences(values: list[float]) -> None:
    observed = abs(sum(values))
    ways = [abs(sum(s * v for s, v in zip(signs, values, strict=True)))
            for signs in product((1, -1), repeat=len(values))]  # fmt: skip
    expected = sum(way >= observed - 1e-9 for way in ways) / len(ways)
    assert paired_p(values, [0.0] * len(values)) == pytest.approx(expected)


@given(VALUES)
def test_the_paired_test_is_symmetric(values: list[float]) -> None:
    zeros = [0.0] * len(values)
    assert paired_p(values, zeros) == paired_p(zeros, values)
    assert paired_p(values, values) == 1


def test_five_differences_of_the_same_sign_give_the_smallest_p() -> None:
    assert paired_p([1, 2, 3, 4, 5], [0] * 5) == smallest_p(5) == 0.0625
    assert paired_p([1.0] * 40, [0.0] * 40) < 0.001


def test_the_mean_and_standard_deviation_are_those_of_the_sample() -> None:
    mean, deviation = mean_and_deviation([1.0, 3.0])
    assert (mean, deviation) == pytest.approx((2.0, np.sqrt(2)))
    assert np.isnan(mean_and_deviation([1.0])[1])


def test_dense_runs_once_per_seed_and_all_methods_share_the_seeds(
    tmp_path: Path,
) -> None:
    patterns = [Pattern(2, 4), Pattern(1, 4)]
    trials = plan_trials(Experiment(seed=3), ["dense", "lbc"], patterns, 2, tmp_path)
    assert [trial.folder.name for trial in trials] == [
        "dense-seed3", "lbc-2-4-seed3", "lbc-1-4-seed3",
        "dense-seed4", "lbc-2-4-seed4", "lbc-1-4-seed4",
    ]  # fmt: skip
    assert [trial.experiment.seed for trial in trials] == [3, 3, 3, 4, 4, 4]
    assert trials[2].experiment.pattern == Pattern(1, 4)
    grouped = plan_trials(Experiment(), ["lbc"], [Pattern(4, 8), Pattern(4, 8, 2)], 1, tmp_path)
    assert [at.folder.name for at in grouped] == ["lbc-4-8-seed0", "lbc-4-8x2-seed0"]


def test_a_comparison_resumes_where_it_stopped(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    args = ["compare", str(file), "--methods", "dense,lbc", "--patterns", "1:4", "--out", str(out)]
    assert main([*args, "--seeds", "1"]) == 0
    first = (out / "lbc-1-4-seed0" / "run.json").stat().st_mtime_ns
    assert main([*args, "--seeds", "2"]) == 0
    assert (out / "lbc-1-4-seed0" / "run.json").stat().st_mtime_ns == first
    assert "minus lbc" in capsys.readouterr().out
    table = (out / "comparison.md").read_text()
    assert "| 1:4 | dense | " in table
    assert len((out / "comparison.csv").read_text().splitlines()) == 5
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_runs_with_other_settings_are_rejected(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = ["compare", str(file), "--methods", "lbc", "--seeds", "1", "--out", str(tmp_path / "o")]
    assert main(args) == 0
    assert main([*args, "--set", "model.width=32"]) == 2
    assert "has a run with other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "lbc,magic"], "'magic' is not known"),
        (["--patterns", "5:4"], "cannot keep 5"),
        (["--seeds", "0"], "at least 1 seed"),
        (["--patterns", "2:5"], "No layer of the model can take 2:5"),
    ],
)
def test_invalid_arguments_are_reported(
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    code = main(["compare", str(file), "--out", str(tmp_path / "out"), *arguments])
    assert code in (1, 2)
    assert message in capsys.readouterr().err
