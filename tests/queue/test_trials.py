"""The queue of a comparison: what is missing, in which order, and what waits for another run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lbc.comparison.trials import MethodChoice, Trial, plan_trials
from lbc.data import DataError
from lbc.queue.commands import read_queue, steer
from lbc.queue.entries import Queue, QueueError, State, may_start, without_orphans
from lbc.queue.queue_file import QueueFile
from lbc.queue.supervisor import work
from lbc.queue.trials import LEFT_OUT, check_trials, queue_trials
from lbc.sparsity.pattern import Pattern
from lbc.training.trainer import Trainer
from tests.training.resumption import MakeExperiment, stop_at

DENSE, LBC = MethodChoice("dense"), MethodChoice("lbc")


def plan(
    quick: MakeExperiment, out: Path, seeds: int = 2, start: MethodChoice | None = None
) -> tuple[Trial, ...]:
    return plan_trials(quick(), [DENSE, LBC], [Pattern(2, 4)], seeds, out, start)


def with_state(queue: Queue, number: int, state: State) -> Queue:
    (entry,) = queue.find({number})
    return queue.put(replace(entry, state=state))


def test_only_what_is_missing_waits(tmp_path: Path, quick: MakeExperiment) -> None:
    trials = plan(quick, tmp_path)
    Trainer(trials[0].experiment, trials[0].folder).train()
    stop_at(2, trials[1].experiment, trials[1].folder)
    queue = queue_trials(tmp_path, trials, jobs=2, threads=3)
    assert [entry.state for entry in queue.entries] == ["finished", *["waiting"] * 3]
    assert [entry.folder for entry in queue.entries] == [trial.folder.name for trial in trials]
    assert queue.jobs == 2 and {entry.threads for entry in queue.entries} == {3}
    # The same again, after everything that can happen to an entry; more seeds have as many threads.
    steer(tmp_path, "pause", {2})
    steer(tmp_path, "cancel", {3})
    QueueFile(tmp_path).change(lambda queue: with_state(queue, 4, "failed"))
    queue = queue_trials(tmp_path, plan(quick, tmp_path, seeds=3), jobs=1)
    assert [entry.state for entry in queue.entries] == ["finished", *["waiting"] * 5]
    assert {entry.threads for entry in queue.entries} == {3}
    # With fewer, those of the other seeds are not trained.
    queue = queue_trials(tmp_path, plan(quick, tmp_path, seeds=1), jobs=1)
    states = [(entry.state, entry.reason) for entry in queue.entries]
    assert states == [("finished", ""), ("waiting", ""), *[("paused", LEFT_OUT)] * 4]


def test_settings_may_change_until_a_run_has_begun(tmp_path: Path, quick: MakeExperiment) -> None:
    queue_trials(tmp_path, plan(quick, tmp_path), jobs=1)
    changed = quick(optimizer={"lr": 0.03})
    (trial,) = plan_trials(changed, [LBC], [Pattern(2, 4)], 1, tmp_path)
    queue = queue_trials(tmp_path, [trial], jobs=1)
    (entry,) = (one for one in queue.entries if one.folder == trial.folder.name)
    assert entry.id == 2
    assert QueueFile(tmp_path).experiment_of(entry).optimizer.lr == 0.03
    stop_at(1, trial.experiment, trial.folder)
    with pytest.raises(ValueError, match="other settings"):
        queue_trials(tmp_path, plan(quick, tmp_path), jobs=1)
    for jobs, threads in ((0, None), (1, 0)):
        with pytest.raises(QueueError, match="are not possible"):
            queue_trials(tmp_path, [trial], jobs, threads)


def test_a_run_waits_for_the_one_that_it_starts_from(tmp_path: Path, quick: MakeExperiment) -> None:
    queue = queue_trials(tmp_path, plan(quick, tmp_path, start=DENSE), jobs=9)
    assert [entry.after for entry in queue.entries] == [None, 1, None, 3]
    assert [may_start(queue, entry) for entry in queue.entries] == [True, False, True, False]
    assert read_queue(tmp_path) == queue
    done = with_state(queue, 1, "finished")
    assert may_start(done, done.entries[1]) and not may_start(done, done.entries[3])
    assert without_orphans(done) == done
    for state in ("failed", "cancelled"):
        first, second, *_ = without_orphans(with_state(queue, 1, state)).entries
        assert (first.state, second.state) == (state, "failed")
        assert second.reason.startswith("It starts from the run of entry 1, which has ")
    cleared = replace(queue, entries=queue.entries[1:])
    assert may_start(cleared, cleared.entries[0])


def test_work_ends_where_nothing_can_start(tmp_path: Path, quick: MakeExperiment) -> None:
    queue_trials(tmp_path, plan(quick, tmp_path, seeds=1, start=DENSE), jobs=1)
    steer(tmp_path, "pause", {1})
    assert work(tmp_path, print)
    assert [entry.state for entry in read_queue(tmp_path).entries] == ["paused", "waiting"]


def test_what_cannot_be_trained_is_a_sentence_before_anything_is(
    tmp_path: Path, quick: MakeExperiment
) -> None:
    patterns = [Pattern(2, 4), Pattern(2, 5)]
    with pytest.raises(ValueError, match="No layer of the model can take 2:5"):
        check_trials(plan_trials(quick(), [LBC], patterns, 1, tmp_path))
    lost = quick(data={"name": "npz", "file": str(tmp_path / "none.npz")})
    with pytest.raises(DataError, match=r"none\.npz"):
        check_trials(plan_trials(lost, [LBC], patterns[:1], 1, tmp_path))
    external = quick(model={"import": "none:none"})
    check_trials(plan_trials(external, [LBC], patterns[:1], 1, tmp_path))
    assert not list(tmp_path.iterdir())
