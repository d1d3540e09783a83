"""The tree of forks: who comes from whom, and what a fork changes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lbc.config import parse_experiment
from lbc.library.fork_tree import Families, describe_changes
from lbc.library.run_summary import RunSummary, flatten_experiment, summarize_run
from lbc.runs.parent_run import find_parent
from lbc.runs.run_state import read_state
from tests.library.run_folders import write_run

RUNS = Path("/runs")


def run(name: str, parent: str = "", epoch: float = 0.0, **settings: object) -> RunSummary:
    parameters = flatten_experiment(parse_experiment({"name": name, **settings}))
    return RunSummary(
        RUNS / name, "finished", name, parent_folder=parent, parent_epoch=epoch,
        parameters=parameters,
    )  # fmt: skip


def shown(*runs: RunSummary) -> list[tuple[str, int, bool]]:
    return [(row.name, row.depth, row.run is not None) for row in Families(runs).rows()]


def test_forks_follow_their_parents_in_the_order_of_their_moments() -> None:
    late, early = run("late", "/runs/root", 7), run("early", "/runs/root", 3)
    inner = run("inner", "/runs/early", 5)
    rows = (("root", 0, True), ("early", 1, True), ("inner", 2, True), ("late", 1, True))
    for runs in (
        (late, inner, run("alone"), run("root"), early),
        (run("root"), early, late, inner),
    ):
        assert shown(*runs) == list(rows)
    rows_of = Families((run("root"), early, late, inner)).rows()
    assert [row.parent for row in rows_of] == [None, 0, 1, 0]
    assert [row.start for row in rows_of] == [0, 3, 5, 7]


def test_a_parent_that_is_not_there_is_a_name_shared_by_its_forks() -> None:
    forks = (run("a", "/gone/old", 2), run("b", "/gone/old", 1), run("c", "/runs/a", 3))
    assert shown(*forks) == [("old", 0, False), ("b", 1, True), ("a", 1, True), ("c", 2, True)]
    assert Families(forks).parent(forks[0]) is None


def test_a_run_that_claims_to_be_its_own_parent_ends_nothing() -> None:
    assert shown(run("self", "/runs/self", 1)) == [("self", 0, False), ("self", 1, True)]
    assert shown(run("x", "/runs/y", 1), run("y", "/runs/x", 1)) == []


def test_runs_that_were_moved_together_still_belong_together() -> None:
    moved = run("fork", "/elsewhere/runs/root", 4)
    root = run("root")
    assert Families((root, moved)).parent(moved) == root
    assert shown(moved, root) == [("root", 0, True), ("fork", 1, True)]


def test_what_a_fork_changes() -> None:
    root, fork = run("root"), run("fork", "/runs/root", 4, schedule={"end": 10})
    before = root.parameters["schedule.end"]
    assert describe_changes(root, fork) == f"schedule.end {before:g} → 10"
    assert describe_changes(root, replace(root, name="other")) == ""


def test_summary_and_folder_know_the_parent(tmp_path: Path) -> None:
    parent = write_run(tmp_path / "root")
    made = {"folder": "/gone/root", "epoch": 1.5, "step": 3, "moments": 2, "interventions": 0}
    fork = write_run(tmp_path / "fork", parent=made)
    summary = summarize_run(fork)
    assert (summary.parent, summary.parent_folder) == ("root@1.5", "/gone/root")
    assert summary.parent_epoch == 1.5
    stored = read_state(fork).parent
    assert stored is not None and find_parent(fork, stored) == parent
    parent.rename(tmp_path / "renamed")
    assert find_parent(fork, stored) is None
