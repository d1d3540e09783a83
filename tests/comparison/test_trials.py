"""A comparison plans a run for every method, pattern and seed, alike in everything else."""

from __future__ import annotations

from pathlib import Path

import pytest

from lbc.comparison.trials import (
    LONGEST_NAME,
    MethodChoice,
    check_folder,
    parse_methods,
    plan_trials,
)
from lbc.config import Experiment, parse_experiment
from lbc.config.strict_yaml import ExperimentError
from lbc.sparsity.pattern import Pattern
from tests.training.resumption import MakeExperiment, stop_at

PATTERNS = [Pattern(2, 4), Pattern(1, 4)]
DENSE, LBC = MethodChoice("dense"), MethodChoice("lbc")


def test_dense_runs_once_per_seed_and_all_methods_share_the_seeds(tmp_path: Path) -> None:
    trials = plan_trials(Experiment(seed=3), [DENSE, LBC], PATTERNS, 2, tmp_path)
    assert [trial.folder.name for trial in trials] == [
        "dense-seed3", "lbc-2-4-seed3", "lbc-1-4-seed3",
        "dense-seed4", "lbc-2-4-seed4", "lbc-1-4-seed4",
    ]  # fmt: skip
    assert [trial.experiment.seed for trial in trials] == [3, 3, 3, 4, 4, 4]
    assert trials[2].experiment.pattern == Pattern(1, 4)
    assert all(trial.start is None for trial in trials)
    grouped = plan_trials(Experiment(), [LBC], [Pattern(4, 8), Pattern(4, 8, 2)], 1, tmp_path)
    assert [at.folder.name for at in grouped] == ["lbc-4-8-seed0", "lbc-4-8x2-seed0"]


def test_runs_start_from_the_one_of_their_seed_with_settings_of_their_own(tmp_path: Path) -> None:
    experiment = parse_experiment({"training": {"epochs": 9}, "schedule": {"end": 6}})
    then = ["training.epochs=2", "schedule.end=1"]
    methods = [LBC, DENSE, MethodChoice("asp")]
    trials = plan_trials(experiment, methods, PATTERNS, 2, tmp_path, DENSE, then)
    assert [trial.label for trial in trials] == ["dense", *["lbc", "asp"] * 2] * 2
    dense, *others = trials[5:]
    assert dense.start is None and dense.experiment.training.epochs == 9
    assert not dense.experiment.training.weights
    for trial in others:
        assert trial.start == dense.folder
        assert trial.experiment.training.epochs == 2
        assert trial.experiment.initial_weights == dense.folder
    # Repetitions differ in nothing but their seeds and names.
    one, other = (trials[at].experiment.model_copy(update={"seed": 0, "name": ""}) for at in (1, 6))
    assert one == other
    by_pattern = plan_trials(experiment, [DENSE], PATTERNS, 1, tmp_path, LBC, then)
    assert [trial.folder.name for trial in by_pattern] == [
        "lbc-2-4-seed0", "dense-seed0", "lbc-1-4-seed0",
    ]  # fmt: skip


def test_methods_are_named_with_their_options() -> None:
    dense, lbc, asp = parse_methods("dense, lbc(end=6, kind=step),asp")
    assert (dense, asp.name) == (DENSE, "asp")
    assert lbc.options == (("end", 6), ("kind", "step"))
    assert (lbc.label, lbc.slug) == ("lbc(end=6, kind=step)", "lbc-end-6-kind-step")
    assert parse_methods(lbc.label) == (lbc,)
    assert parse_methods("lbc,asp,lbc") == (LBC, MethodChoice("asp"))
    long = [MethodChoice("lbc", (("note", "x" * 90 + end),)) for end in "ab"]
    assert len({one.slug for one in long}) == 2 and len(long[0].slug) <= LONGEST_NAME


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a list of methods"),
        ("lbc asp", "is not a list of methods"),
        ("lbc(end=6", "is not a list of methods"),
        ("lbc,magic", "'magic' is not known"),
        ("lbc(end)", "'end' is not an option of lbc: write each once, as in lbc"),
        ("lbc(end=6,end=7)", "is not an option of lbc"),
    ],
)
def test_what_is_no_list_of_methods_is_a_sentence(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_methods(text)
    assert "\n" not in str(caught.value)


def test_impossible_comparisons_are_sentences(tmp_path: Path, quick: MakeExperiment) -> None:
    with pytest.raises(ValueError, match="at least 1 seed"):
        plan_trials(quick(), [LBC], PATTERNS, 0, tmp_path)
    with pytest.raises(ValueError, match="These are 2,000,000 runs: at most 1,000 are possible"):
        plan_trials(quick(), [LBC], PATTERNS, 1_000_000, tmp_path)
    with pytest.raises(ValueError, match="give --start METHOD"):
        plan_trials(quick(), [LBC], PATTERNS, 1, tmp_path, then=["training.epochs=2"])
    with pytest.raises(ValueError, match="Removal ends at epoch 2"):
        plan_trials(quick(), [LBC], PATTERNS, 1, tmp_path, DENSE, ["training.epochs=1"])
    with pytest.raises(ValueError, match="--then foo: Write it as key=value"):
        plan_trials(quick(), [LBC], PATTERNS, 1, tmp_path, DENSE, ["foo"])
    with pytest.raises(ExperimentError, match="lbc has no such option"):
        plan_trials(quick(), parse_methods("lbc(decay=1)"), PATTERNS, 1, tmp_path)


def test_a_folder_with_another_run_is_refused(tmp_path: Path, quick: MakeExperiment) -> None:
    (trial,) = plan_trials(quick(), [LBC], PATTERNS[:1], 1, tmp_path)
    check_folder(trial)
    stop_at(1, trial.experiment, trial.folder)
    check_folder(trial)
    (other,) = plan_trials(quick(training={"epochs": 3}), [LBC], PATTERNS[:1], 1, tmp_path)
    with pytest.raises(ValueError, match="has a run with other settings"):
        check_folder(other)
