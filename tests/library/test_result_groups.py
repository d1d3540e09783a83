"""Results are folded over seeds and tested against a baseline, as ``lbc compare`` does."""

from __future__ import annotations

from math import isnan
from pathlib import Path

import pytest

from lbc.comparison.statistics import mean_and_deviation, paired_p
from lbc.library.result_groups import RESULTS, ResultGroup, explain_test, group_results
from lbc.library.run_summary import Parameters, RunSummary

ACCURACY = RESULTS["test accuracy (%)"]


def run(rate: float, seed: int, accuracy: float | None, status: str = "finished") -> RunSummary:
    folder = Path(f"lr{rate}-{seed}-{accuracy}")
    parameters: Parameters = {"name": folder.name, "optimizer.lr": rate, "seed": seed}
    return RunSummary(
        folder, status, seed=seed, accuracy=accuracy, parameters=parameters, seconds=10 * rate
    )


SLOW = [run(0.1, seed, accuracy) for seed, accuracy in enumerate((0.90, 0.91, 0.95))]
FAST = [run(0.2, seed, accuracy) for seed, accuracy in enumerate((0.94, 0.93, 0.96, 0.97))]


def by_label(groups: tuple[ResultGroup, ...]) -> dict[str, ResultGroup]:
    return {group.label: group for group in groups}


def test_seeds_are_folded_and_paired_with_the_baseline() -> None:
    groups = group_results([*SLOW, *FAST], ACCURACY, baseline=SLOW[1].folder)
    assert [group.label for group in groups] == ["lr 0.2", "lr 0.1"]
    fast, slow = groups
    assert (fast.mean, fast.deviation) == pytest.approx(mean_and_deviation([94, 93, 96, 97]))
    assert (fast.runs, fast.pairs, slow.runs) == (4, 3, 3)
    assert fast.difference == pytest.approx((4 + 2 + 1) / 3)
    assert fast.p == paired_p([94, 93, 96], [90, 91, 95]) == 0.25
    assert slow.baseline and not fast.baseline and isnan(slow.p) and slow.pairs == 0
    assert "With 3 pairs the smallest possible p is 0.25." in explain_test(groups)


def test_without_a_baseline_nothing_is_tested() -> None:
    groups = group_results([*SLOW, *FAST], ACCURACY)
    assert all(isnan(group.p) and not group.pairs for group in groups)
    assert explain_test(groups) == ""
    apart = group_results([SLOW[0], FAST[3]], ACCURACY, SLOW[0].folder)
    assert "nothing is tested" in explain_test(apart)


def test_unfinished_runs_are_counted_and_not_averaged() -> None:
    runs = [
        *SLOW, run(0.1, 7, 0.1, "stopped"), run(0.3, 0, None, "running"),
        RunSummary(Path("damaged"), "unreadable", problem="It is damaged."),
    ]  # fmt: skip
    groups = by_label(group_results(runs, ACCURACY, SLOW[0].folder))
    assert set(groups) == {"lr 0.1", "lr 0.3"}
    assert groups["lr 0.1"].mean == pytest.approx(92) and groups["lr 0.1"].unfinished == 1
    assert isnan(groups["lr 0.3"].mean) and groups["lr 0.3"].runs == 0


def test_repetitions_of_a_seed_count_once() -> None:
    (group,) = group_results([run(0.1, 0, 0.8), run(0.1, 0, 0.9), run(0.1, 1, 0.95)], ACCURACY)
    assert group.runs == 2 and len(group.members) == 3
    assert group.mean == pytest.approx(90)


def test_other_results_have_their_own_units() -> None:
    groups = by_label(group_results([*SLOW, *FAST], RESULTS["training time (s)"]))
    assert groups["lr 0.2"].mean == 2 and groups["lr 0.1"].mean == 1


def test_another_pattern_is_compared_with_the_baseline_at_that_pattern() -> None:
    def trained(method: str, pattern: str, accuracy: float) -> RunSummary:
        parameters: Parameters = {"method": method, "pattern": pattern, "seed": 0}
        return RunSummary(
            Path(f"{method}-{pattern}"), "finished", pattern=pattern, method=method, seed=0,
            accuracy=accuracy, parameters=parameters,
        )  # fmt: skip

    runs = [
        trained("lbc", "2:4", 0.9), trained("lbc", "1:4", 0.8), trained("asp", "2:4", 0.85),
        trained("asp", "1:4", 0.7), trained("asp", "1:8", 0.6),
    ]  # fmt: skip
    groups = group_results(runs, ACCURACY, runs[0].folder)
    differences = {group.members[0].folder.name: group.difference for group in groups}
    assert differences == pytest.approx({
        "lbc-2:4": 0, "lbc-1:4": -10, "asp-2:4": -5, "asp-1:4": -10, "asp-1:8": -30,
    })  # fmt: skip
    assert "p corrected for the 4 tests" in explain_test(groups)
