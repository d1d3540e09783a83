"""A comparison trains what is missing, and its test is what it says."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lbc.cli.main import main
from lbc.comparison.statistics import mean_and_deviation, paired_p, smallest_p
from lbc.comparison.trials import plan
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
def test_the_paired_test_counts_every_way_to_sign_the_differences(values: list[float]) -> None:
    observed = abs(sum(values))
    ways = [abs(sum(s * v for s, v in zip(signs, values, strict=True)))
            for signs in product((1, -1), repeat=len(values))]  # fmt: skip
    expected = sum(way >= observed - 1e-9 for way in ways) / len(ways)
    assert paired_p(values, [0.0] * len(values)) == pytest.approx(expected)


@given(VALUES)
def test_the_paired_test_does_not_care_which_comes_first(values: list[float]) -> None:
    zeros = [0.0] * len(values)
    assert paired_p(values, zeros) == paired_p(zeros, values)
    assert paired_p(values, values) == 1


def test_five_pairs_on_one_side_give_the_smallest_p() -> None:
    assert paired_p([1, 2, 3, 4, 5], [0] * 5) == smallest_p(5) == 0.0625
    assert paired_p([1.0] * 40, [0.0] * 40) < 0.001


def test_mean_and_deviation_are_the_samples() -> None:
    mean, deviation = mean_and_deviation([1.0, 3.0])
    assert (mean, deviation) == pytest.approx((2.0, np.sqrt(2)))
    assert np.isnan(mean_and_deviation([1.0])[1])


def test_dense_runs_once_for_all_patterns_and_every_seed_is_the_same_for_all(
    tmp_path: Path,
) -> None:
    patterns = [Pattern(2, 4), Pattern(1, 4)]
    trials = plan(Experiment(seed=3), ["dense", "lbc"], patterns, 2, tmp_path)
    assert [trial.folder.name for trial in trials] == [
        "dense-seed3", "lbc-2-4-seed3", "lbc-1-4-seed3",
        "dense-seed4", "lbc-2-4-seed4", "lbc-1-4-seed4",
    ]  # fmt: skip
    assert [trial.experiment.seed for trial in trials] == [3, 3, 3, 4, 4, 4]
    assert trials[2].experiment.pattern == Pattern(1, 4)


def test_a_comparison_goes_on_where_it_stopped(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    ask = ["compare", str(file), "--methods", "dense,lbc", "--patterns", "1:4", "--out", str(out)]
    assert main([*ask, "--seeds", "1"]) == 0
    first = (out / "lbc-1-4-seed0" / "run.json").stat().st_mtime_ns
    assert main([*ask, "--seeds", "2"]) == 0
    assert (out / "lbc-1-4-seed0" / "run.json").stat().st_mtime_ns == first
    assert "minus lbc" in capsys.readouterr().out
    table = (out / "comparison.md").read_text()
    assert "| 1:4 | dense | " in table
    assert len((out / "comparison.csv").read_text().splitlines()) == 5
    assert (out / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_other_settings_do_not_mix_with_what_is_there(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ["compare", str(file), "--methods", "lbc", "--seeds", "1", "--out", str(tmp_path / "o")]
    assert main(ask) == 0
    assert main([*ask, "--set", "model.width=32"]) == 2
    assert "holds a run of other settings" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        (["--methods", "lbc,magic"], "'magic' is not known"),
        (["--patterns", "5:4"], "cannot keep 5"),
        (["--seeds", "0"], "take at least 1"),
        (["--patterns", "2:5"], "No layer of the model can take 2:5"),
    ],
)
def test_wrong_input_is_told(
    file: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: list[str],
    sentence: str,
) -> None:
    code = main(["compare", str(file), "--out", str(tmp_path / "out"), *more])
    assert code in (1, 2)
    assert sentence in capsys.readouterr().err
